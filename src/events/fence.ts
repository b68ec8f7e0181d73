// Fences: which part of the log is decided. Ids are drawn before commit, so the log does not appear in
// the order of its ids; up to a fence that has passed, nothing can come any more.
//
// A transaction that draws an event id holds a lock on the table from before it draws until its end,
// and its rows are visible before it lets go. So only those who write events are waited for. (Waiting for
// all older transaction ids did as well, but any index built in another database of the server held it up.)

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'

/** Ids up to `id` are decided, committed or gone for good, once none of these transactions runs. */
export interface Fence {
  id: number
  /** Virtual transaction ids. */
  writers: readonly string[]
}

const writers = sql`SELECT virtualtransaction FROM pg_locks
  WHERE locktype = 'relation' AND relation = 'events'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

/**
 * A fence at `id`, which must have been drawn already: a statement of its own after the one that read
 * the sequence. Whoever takes the lock later draws a higher id.
 */
export async function raiseFence(db: Db, id: number): Promise<Fence> {
  const { rows } = await sql<{ virtualtransaction: string }>`${writers}`.execute(db)
  return { id, writers: rows.map(({ virtualtransaction }) => virtualtransaction) }
}

/** Once true, a statement that begins afterwards sees everything up to the fence that will ever be there. */
export async function hasPassed(db: Db, fence: Fence): Promise<boolean> {
  if (fence.writers.length === 0) return true
  const { rows } = await sql`
    SELECT FROM (${writers}) AS running WHERE virtualtransaction = ANY(${fence.writers}::text[])
    LIMIT 1`.execute(db)
  return rows.length === 0
}
