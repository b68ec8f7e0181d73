// Files go once no rendition refers to them. A row is marked first, so that nobody shares it any more,
// then its file is removed; the row stays for an hour as a tombstone, after which the file is removed
// once more, for a put that came late, and then the row. A crash between any two steps loses nothing:
// what was marked is removed by its tombstone's end at the latest. A tombstone that a rendition still refers
// to, because its file was lost, stays until no rendition does.

import type { Database, Db } from '../database/database.ts'
import { openSchedule } from '../jobs/schedule.ts'
import type { Logger } from '../observability/logger.ts'
import type { Storage } from '../storage/storage.ts'
import {
  deleteTombstones,
  FIRST_ID,
  markSlice,
  readSlice,
  readTombstones,
  type SweptObject,
  takeTurn,
} from './sweep-store.ts'

/** How often all objects are looked at, by one of all workers: 10 million take a minute or two. */
const EVERY_MS = 60 * 60_000
const ASK_EVERY_MS = 5 * 60_000
/** Longer than a put can be late. */
export const TOMBSTONE_MS = 60 * 60_000
/** Objects looked at in one statement: 10 to 40 ms of the database’s time. */
const SLICE = 5_000
const FILES_AT_ONCE = 8
/** For what an attempt does after its time: its last statement, and being handed over. */
const MARGIN_MS = 10 * 60_000

/**
 * How long an object that nothing refers to is left alone after an attempt touched it: longer than any
 * attempt can go on from there, its settlement included, which is repeated for at most a lease.
 */
export function sweepGraceMs({ timeoutMs, leaseMs }: { timeoutMs: number; leaseMs: number }) {
  return timeoutMs + 2 * leaseMs + MARGIN_MS
}

export interface SweepOptions {
  db: Db
  storage: Pick<Storage, 'remove'>
  graceMs: number
  /** Default: TOMBSTONE_MS. */
  tombstoneMs?: number
  /** Ends the sweep between two files: one that is marked then goes by its tombstone. */
  signal?: AbortSignal
}

export interface SweepReport {
  /** Objects that nothing used, whose files were removed. */
  files: number
  bytes: number
  /** Tombstones that were removed with whatever had come under their keys. */
  tombstones: number
}

/**
 * One pass over all objects. Throws `storage_failed`, at the end when a file could not be removed, at once when no
 * file of a slice could: the storage is away. The next pass tries again.
 */
export async function sweepObjects(options: SweepOptions): Promise<SweepReport> {
  const { db, tombstoneMs = TOMBSTONE_MS, signal } = options
  const report: SweepReport = { files: 0, bytes: 0, tombstones: 0 }
  let failure: { error: unknown } | undefined
  const remove = async (objects: readonly SweptObject[]) => {
    const { removed, ...result } = await removeFiles(options, objects)
    failure ??= result.failure
    if (result.failure && removed.length === 0) throw result.failure.error
    return removed
  }
  const readOld = (after: string) => readTombstones(db, { after, ageMs: tombstoneMs, limit: SLICE })
  for await (const old of slices(readOld, signal)) {
    const removed = await remove(old)
    await deleteTombstones(
      db,
      removed.map(({ id }) => id),
    )
    report.tombstones += removed.length
  }
  const mark = (after: string) => markSlice(db, { ...options, after, limit: SLICE })
  for await (const unused of slices(mark, signal)) {
    for (const { bytes } of await remove(unused)) {
      report.files++
      report.bytes += bytes
    }
  }
  if (failure) throw failure.error
  return report
}

/** What a sweep would remove now; changes nothing. The signal ends it between two slices. */
export function findUnused(
  db: Db,
  graceMs: number,
  signal?: AbortSignal,
): AsyncIterable<SweptObject[]> {
  return slices((after) => readSlice(db, { after, graceMs, limit: SLICE }), signal)
}

async function* slices(
  next: (after: string) => ReturnType<typeof readSlice>,
  signal: AbortSignal | undefined,
): AsyncGenerator<SweptObject[]> {
  for (let after: string | undefined = FIRST_ID; after !== undefined && !signal?.aborted; ) {
    const { unused, lastId } = await next(after)
    yield unused
    after = lastId
  }
}

interface Removal {
  /** Those whose files are gone now. */
  removed: SweptObject[]
  /** The first, of however many. */
  failure: { error: unknown } | undefined
}

async function removeFiles(
  { storage, signal }: Pick<SweepOptions, 'storage' | 'signal'>,
  objects: readonly SweptObject[],
): Promise<Removal> {
  const removal: Removal = { removed: [], failure: undefined }
  const waiting = objects.values()
  const work = async () => {
    for (const object of waiting) {
      if (signal?.aborted) return
      try {
        await storage.remove(object.key)
        removal.removed.push(object)
      } catch (error) {
        removal.failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, work))
  return removal
}

export interface SweeperOptions {
  database: Database
  storage: Storage
  graceMs: number
  log: Logger
}

/** Sweeps once an hour, on one of the nodes that run this. */
export function openSweeper({ database, storage, graceMs, log }: SweeperOptions): AsyncDisposable {
  const { db } = database
  return openSchedule({
    name: 'sweeping stored files',
    everyMs: ASK_EVERY_MS,
    log,
    task: async (signal) => {
      if (!(await takeTurn(db, EVERY_MS))) return
      const report = await sweepObjects({ db, storage, graceMs, signal })
      if (report.files > 0) log.info(report, 'files that nothing uses any more were removed')
    },
  })
}
