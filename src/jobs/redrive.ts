// Puts jobs to work again on somebody's demand. Each of these statements takes the first locks of its
// transaction: locking what a job works for before the job deadlocks with claims.

import { type RawBuilder, sql } from 'kysely'
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
    ON CONFLICT (name, key) DO UPDATE SET ${asWanted}
    WHERE jobs.state IN ('done', 'dead')
    RETURNING id AS "jobId"`.execute(tx)
  return rows[0]
}

/**
 * Everything but running → pending, with fresh attempts: what waits for its next one as well. Returns
 * the keys of the jobs that were not running. Locks in the order of ids, so that two of these that meet
 * do not deadlock. Signal `jobs` after the commit.
 */
export async function redriveAll(tx: Tx, jobs: readonly NewJob[]): Promise<string[]> {
  const { rows } = await sql<{ key: string }>`
    INSERT INTO jobs (id, name, key, payload, lane, max_attempts, trace)
    SELECT wanted.id, wanted.name, wanted.key, wanted.payload::jsonb, wanted.lane,
      wanted.max_attempts, wanted.trace
    FROM unnest(${jobs.map(({ id }) => id)}::uuid[], ${jobs.map(({ name }) => name)}::text[],
      ${jobs.map(({ key }) => key)}::text[],
      ${jobs.map(({ payload }) => JSON.stringify(payload))}::text[],
      ${jobs.map(({ lane }) => lane)}::text[],
      ${jobs.map(({ maxAttempts }) => maxAttempts)}::integer[],
      ${jobs.map(({ trace }) => trace)}::text[])
      AS wanted (id, name, key, payload, lane, max_attempts, trace)
    LEFT JOIN jobs ON jobs.name = wanted.name AND jobs.key = wanted.key
    ORDER BY coalesce(jobs.id, wanted.id)
    ON CONFLICT (name, key) DO UPDATE SET ${asWanted}
    WHERE jobs.state <> 'running'
    RETURNING key`.execute(tx)
  return rows.map(({ key }) => key)
}

/** What makes a job that is not running as good as new. */
export const anew: RawBuilder<unknown> = sql`
  state = 'pending', attempts = 0, uncounted = 0, failures = '{}', queued_at = clock_timestamp(),
  due_at = clock_timestamp(), ring_again_at = NULL, rings = 0, claim = NULL, lease_until = NULL,
  worker = NULL, death = NULL, error = NULL, result = NULL, finished_at = NULL`

/** As good as new, and as it is wanted this time. */
const asWanted: RawBuilder<unknown> = sql`${anew}, payload = excluded.payload, lane = excluded.lane,
  max_attempts = excluded.max_attempts, trace = excluded.trace`

/** A pending job that waits for its time need not wait any longer. False when it is not pending. */
export async function makeDueNow(tx: Tx, name: string, key: string): Promise<boolean> {
  const { rows } = await sql`
    UPDATE jobs SET due_at = least(due_at, clock_timestamp()), ring_again_at = NULL, rings = 0
    WHERE name = ${name} AND key = ${key} AND state = 'pending'
    RETURNING id`.execute(tx)
  return rows.length === 1
}
