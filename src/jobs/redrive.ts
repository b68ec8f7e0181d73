// Puts a job to work again on somebody's demand. Both statements come first in their transaction,
// before any other lock: locking what a job works for before the job deadlocks with claims.

import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'

export interface NewJob {
  /** Taken when the ledger holds no job of this name and key. */
  id: string
  name: string
  key: string
  payload: object
  lane: string
  maxAttempts: number
  trace: string | null
}

/**
 * done, dead, or purged → pending, with fresh attempts. Undefined when the job is pending or running,
 * and then nothing has changed. Signal `jobs` after the commit.
 */
export async function redrive(tx: Tx, job: NewJob): Promise<{ jobId: string } | undefined> {
  const { rows } = await sql<{ jobId: string }>`
    INSERT INTO jobs (id, name, key, payload, lane, max_attempts, trace)
    VALUES (${job.id}, ${job.name}, ${job.key}, ${JSON.stringify(job.payload)}::jsonb, ${job.lane},
      ${job.maxAttempts}, ${job.trace})
    ON CONFLICT (name, key) DO UPDATE SET state = 'pending', attempts = 0, uncounted = 0,
      payload = excluded.payload, lane = excluded.lane, max_attempts = excluded.max_attempts,
      trace = excluded.trace, queued_at = clock_timestamp(), due_at = clock_timestamp(),
      ring_again_at = NULL, rings = 0, claim = NULL, lease_until = NULL, worker = NULL,
      death = NULL, error = NULL, result = NULL, finished_at = NULL
    WHERE jobs.state IN ('done', 'dead')
    RETURNING id AS "jobId"`.execute(tx)
  return rows[0]
}

/** A pending job that waits for its time need not wait any longer. False when it is not pending. */
export async function makeDueNow(tx: Tx, name: string, key: string): Promise<boolean> {
  const { rows } = await sql`
    UPDATE jobs SET due_at = least(due_at, clock_timestamp()), ring_again_at = NULL, rings = 0
    WHERE name = ${name} AND key = ${key} AND state = 'pending'
    RETURNING id`.execute(tx)
  return rows.length === 1
}
