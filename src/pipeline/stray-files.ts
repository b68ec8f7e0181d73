// Files without a row: left by a put that came later than any tombstone lasts, or by a database that
// was restored to an earlier time. Keys are never used again, so one that has no row gets none.

import type { Db } from '../database/database.ts'
import type { ListedFile, Storage } from '../storage/storage.ts'
import { selectKeysWithoutRow } from './sweep-store.ts'

/** A row is committed before its file is put: what is older was not put a moment ago. */
const OLD_MS = 24 * 60 * 60_000
/** Keys asked for in one statement. */
const BATCH = 1_000

export interface StrayFilesOptions {
  db: Db
  storage: Pick<Storage, 'list'>
  /** Ends the walk between two files. */
  signal?: AbortSignal
  /** Milliseconds since the epoch. */
  now?: () => number
}

export interface ListedBatch {
  /** Files older than a day that were looked up. */
  files: number
  /** The keys among them that have no row. */
  strays: string[]
}

/** Walks over all files, unless it is ended. */
export async function* findStrayFiles({
  db,
  storage,
  signal,
  now = Date.now,
}: StrayFilesOptions): AsyncGenerator<ListedBatch> {
  const isOld = ({ putAt }: ListedFile) => now() - putAt.getTime() > OLD_MS
  let keys: string[] = []
  for await (const file of storage.list()) {
    if (signal?.aborted) return
    if (isOld(file)) keys.push(file.key)
    if (keys.length < BATCH) continue
    yield { files: keys.length, strays: await selectKeysWithoutRow(db, keys) }
    keys = []
  }
  yield { files: keys.length, strays: await selectKeysWithoutRow(db, keys) }
}
