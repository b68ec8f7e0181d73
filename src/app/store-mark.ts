// One database has one store. An api that reads another folder than the workers write to would answer
// 404 for every picture, and nobody would know why: so the store carries a mark that the database knows.

import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import type { Storage } from '../storage/storage.ts'

export interface MarkedStore {
  database: Database
  storage: Storage
}

/**
 * Marks the store if none is marked yet, of several processes one; else throws an Error for the operator
 * when this is not the one that is.
 */
export async function checkStore({ database, storage }: MarkedStore): Promise<void> {
  // The lock makes the others wait until the mark can be found.
  const isOurs = await database.transaction(async (tx) => {
    const { mark, isPlaced } = await lockMark(tx)
    if (isPlaced) return await storage.isMarked(mark)
    await placeMark(tx, storage, mark)
    return true
  })
  if (isOurs) return
  throw new Error(
    `the pictures of this database are kept elsewhere than in ${storage.place}: every process needs the same store, so check S3_BUCKET_NAME, or DATA_DIR and what is mounted there; if this is where they shall be from now on, run \`vitrine storage adopt\``,
  )
}

/** Makes this store the one of the database, whatever was before. */
export async function adoptStore({ database, storage }: MarkedStore): Promise<void> {
  await database.transaction(async (tx) => {
    const { mark } = await lockMark(tx)
    await placeMark(tx, storage, mark)
  })
}

async function lockMark(tx: Tx): Promise<{ mark: string; isPlaced: boolean }> {
  const { rows } = await sql<{ mark: string; isPlaced: boolean }>`
    SELECT mark, is_placed AS "isPlaced" FROM store FOR UPDATE`.execute(tx)
  const [row] = rows
  if (!row) throw new Error('the table store has lost its row')
  return row
}

async function placeMark(tx: Tx, storage: Storage, mark: string): Promise<void> {
  await storage.mark(mark)
  await sql`UPDATE store SET is_placed = true`.execute(tx)
}
