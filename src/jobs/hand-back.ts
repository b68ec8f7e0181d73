// running → pending, due at once, as if the job had not been claimed: its worker stops.

import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { ClaimedJob } from './job.ts'

/** Returns the attempts that are counted now; undefined when the claim is no longer ours. */
export async function handBack(tx: Tx, { id, claim }: ClaimedJob): Promise<number | undefined> {
  const { rows } = await sql<{ attempts: number }>`
    UPDATE jobs SET state = 'pending', attempts = attempts - 1, due_at = clock_timestamp(),
      ring_again_at = NULL, rings = 0, claim = NULL, lease_until = NULL, worker = NULL
    WHERE id = ${id} AND state = 'running' AND claim = ${claim}
    RETURNING attempts`.execute(tx)
  return rows[0]?.attempts
}
