// pending → running, and the refusals before it. A bell may ring twice, late, or for a job that is
// long done: only the row decides, and of any number of claims one wins.

import { randomUUID } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import type { Executor, Tx } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import type { ClaimedJob } from './job.ts'

export interface DueJob {
  name: string
  key: string
  lane: string
  payload: unknown
  /** How often it was announced since it last ran. */
  rings: number
}

/** The job, if it is pending and due right now; `unknown` when there is none of this id. Takes no lock. */
export async function readDue(
  db: Executor,
  jobId: string,
): Promise<DueJob | 'unknown' | undefined> {
  const { rows } = await sql<DueJob & { isDue: boolean }>`
    SELECT name, key, lane, payload, rings, ${isDue()} AS "isDue" FROM jobs
    WHERE id = ${jobId}`.execute(db)
  const [row] = rows
  if (!row) return 'unknown'
  const { isDue: canRun, ...due } = row
  return canRun ? due : undefined
}

export interface ClaimOptions {
  jobId: string
  worker: string
  leaseMs: number
  /** For a job that this process put off itself and has room for now: the time until when. */
  putOffUntil?: Timestamp
}

/**
 * Takes the job under a new claim and counts the attempt. Undefined when it is not pending, not due,
 * or locked: whoever holds the lock takes it, or moves it so that another bell follows.
 */
export async function claim(tx: Tx, options: ClaimOptions): Promise<ClaimedJob | undefined> {
  const { jobId, worker, leaseMs, putOffUntil } = options
  const { rows } = await sql<ClaimedJob>`
    UPDATE jobs SET state = 'running', claim = ${randomUUID()}, worker = ${worker},
      lease_until = clock_timestamp() + ${milliseconds(leaseMs)},
      attempts = attempts + 1, ring_again_at = NULL
    WHERE id = (${lockDue(jobId, putOffUntil)}) AND ${isDue(putOffUntil)}
    RETURNING ${claimedJob}`.execute(tx)
  return rows[0]
}

/**
 * Leaves a due job for later, without counting anything: it is announced again when due. Returns when;
 * undefined when it was not pending, not due, or locked.
 */
export async function postpone(
  db: Executor,
  jobId: string,
  delayMs: number,
): Promise<Timestamp | undefined> {
  const { rows } = await sql<{ dueAt: Timestamp }>`
    UPDATE jobs SET due_at = clock_timestamp() + ${milliseconds(delayMs)}, ring_again_at = NULL
    WHERE id = (${lockDue(jobId)}) AND ${isDue()}
    RETURNING due_at AS "dueAt"`.execute(db)
  return rows[0]?.dueAt
}

function lockDue(jobId: string, putOffUntil?: Timestamp): RawBuilder<unknown> {
  return sql`
    SELECT id FROM jobs WHERE id = ${jobId} AND ${isDue(putOffUntil)} FOR UPDATE SKIP LOCKED`
}

function isDue(putOffUntil?: Timestamp): RawBuilder<unknown> {
  return sql`state = 'pending'
    AND (due_at <= clock_timestamp() OR due_at = ${putOffUntil ?? null}::timestamptz)`
}

/** The columns of a running job, as its handler sees it. */
export const claimedJob: RawBuilder<ClaimedJob> = sql`
  jobs.id, jobs.name, jobs.key, jobs.payload, jobs.lane, jobs.claim, jobs.attempts,
  jobs.max_attempts AS "maxAttempts", jobs.trace, jobs.worker, jobs.queued_at AS "queuedAt"`

export function milliseconds(ms: number): RawBuilder<unknown> {
  return sql`${ms}::float8 * interval '1 millisecond'`
}
