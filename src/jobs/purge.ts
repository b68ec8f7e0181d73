// Done jobs are kept for a while, for those who ask what happened, and then removed.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { milliseconds } from './claim.ts'

/** In small bites, so that no statement holds many locks for long. */
const BITE = 1_000

/** Removes what has been done for longer than `keepMs`; returns how many. A redrive that is faster keeps its job. */
export async function purgeDone(db: Db, keepMs: number, signal: AbortSignal): Promise<number> {
  let purged = 0
  for (;;) {
    const bite = await deleteDone(db, keepMs)
    purged += bite
    if (bite < BITE || signal.aborted) return purged
  }
}

async function deleteDone(db: Db, keepMs: number): Promise<number> {
  const isOld = sql`state = 'done' AND finished_at < now() - ${milliseconds(keepMs)}`
  const { rows } = await sql`
    DELETE FROM jobs WHERE id = ANY(ARRAY(
      SELECT id FROM jobs WHERE ${isOld} ORDER BY finished_at LIMIT ${BITE} FOR UPDATE SKIP LOCKED))
      AND ${isOld}
    RETURNING id`.execute(db)
  return rows.length
}
