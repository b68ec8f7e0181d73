// Done jobs are kept for a while, for those who ask what happened, and then removed.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { inBites } from '../lib/bites.ts'
import { milliseconds } from './claim.ts'

const BITE = 1_000

/** Removes what has been done for longer than `keepMs`; returns how many. A redrive that is faster keeps its job. */
export async function purgeDone(db: Db, keepMs: number, signal: AbortSignal): Promise<number> {
  return await inBites(BITE, (size) => deleteDone(db, keepMs, size), signal)
}

async function deleteDone(db: Db, keepMs: number, size: number): Promise<number> {
  const isOld = sql`state = 'done' AND finished_at < now() - ${milliseconds(keepMs)}`
  const { rows } = await sql`
    DELETE FROM jobs WHERE id = ANY(ARRAY(
      SELECT id FROM jobs WHERE ${isOld} ORDER BY finished_at LIMIT ${size} FOR UPDATE SKIP LOCKED))
      AND ${isOld}
    RETURNING id`.execute(db)
  return rows.length
}
