// One database has one store. An api that reads another folder than the workers write to would answer
// 404 for every picture, and nobody would know why: so the store carries a mark that the database knows.

import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import { markName } from '../storage/keys.ts'
import type { StorageOptions } from '../storage/open.ts'
import type { Storage } from '../storage/storage.ts'

export interface OpenStore {
  database: Database
  storage: Storage
  kind: StorageOptions['kind']
}

/**
 * Marks the store if none is marked yet, of several processes one. Throws an Error for the operator when this
 * is not the one of the database.
 */
export async function claimStore(store: OpenStore): Promise<void> {
  if (!canBeMistaken(store)) return
  const { database, storage } = store
  // The lock makes the others wait until the mark can be found.
  const isOurs = await database.transaction(async (tx) => {
    const found = await lockMark(tx)
    if (!(await belongs(tx, storage, found))) return false
    if (!found.isPlaced) await placeMark(tx, storage)
    return true
  })
  if (!isOurs) refuse(storage)
}

/** Marks nothing. Throws an Error for the operator when this store is not the one of the database. */
export async function checkStore(store: OpenStore): Promise<void> {
  if (!canBeMistaken(store)) return
  const { database, storage } = store
  const isOurs = await database.transaction(async (tx) => belongs(tx, storage, await lockMark(tx)))
  if (!isOurs) refuse(storage)
}

/** Makes this store the one of the database, whatever was before: by a new mark, which no other store carries. */
export async function adoptStore({
  database,
  storage,
}: Pick<OpenStore, 'database' | 'storage'>): Promise<void> {
  await database.transaction(async (tx) => {
    await lockMark(tx)
    await placeMark(tx, storage)
  })
}

/**
 * A sentence about the marks of others that lie in the store; undefined when there are none. A mark that this
 * database had before an adoption counts as one: the store cannot tell.
 */
export async function tellOthers({
  database,
  storage,
}: Pick<OpenStore, 'database' | 'storage'>): Promise<string | undefined> {
  const { rows } = await sql<{ mark: string }>`SELECT mark FROM store`.execute(database.db)
  const others = (await storage.marks()).filter((mark) => mark !== rows[0]?.mark)
  if (others.length === 0) return undefined
  const names = others.map(markName).join(', ')
  return `another database keeps its pictures in ${storage.place} too, by the mark ${names}: \`vitrine storage sweep --deep\` would take them for strays and is refused; where that database is gone, or was this one before \`vitrine storage adopt\`, remove the file of that name`
}

/** The embedded database and its folder lie in one place: one cannot be mistaken without the other. */
function canBeMistaken({ database, kind }: OpenStore): boolean {
  return database.engine === 'postgres' || kind !== 'filesystem'
}

interface Mark {
  mark: string
  isPlaced: boolean
}

async function lockMark(tx: Tx): Promise<Mark> {
  const { rows } = await sql<Mark>`
    SELECT mark, is_placed AS "isPlaced" FROM store FOR UPDATE`.execute(tx)
  const [row] = rows
  if (!row) throw new Error('the table store has lost its row')
  return row
}

async function belongs(tx: Tx, storage: Storage, { mark, isPlaced }: Mark): Promise<boolean> {
  return isPlaced ? (await storage.marks()).includes(mark) : await hasSomeFile(tx, storage)
}

/** Some may be lost; of the wrong store all are missing. */
const FILES_LOOKED_FOR = 10

/** Whether pictures from before the database knew a mark are here; there may be none yet. */
async function hasSomeFile(tx: Tx, storage: Storage): Promise<boolean> {
  // By their ids, which are random: not those of one day, which may have been lost together.
  const { rows } = await sql<{ key: string }>`
    SELECT key FROM objects WHERE state = 'ready' ORDER BY id LIMIT ${FILES_LOOKED_FOR}`.execute(tx)
  for (const { key } of rows) if (await storage.open(key)) return true
  return rows.length === 0
}

/**
 * Always a new one: a copy of the database may have been made before. Placed before the commit that names it: one
 * that is left by a failure in between means nothing.
 */
async function placeMark(tx: Tx, storage: Storage): Promise<void> {
  const mark = randomUUID()
  await storage.mark(mark)
  await sql`UPDATE store SET mark = ${mark}, is_placed = true`.execute(tx)
}

function refuse({ place }: Storage): never {
  throw new Error(
    `the pictures of this database are kept elsewhere than in ${place}: every process needs the same store, so check S3_BUCKET_NAME, or DATA_DIR and what is mounted there; if this is where they shall be from now on, run \`vitrine storage adopt\``,
  )
}
