// running → pending or dead after a failure, whoever reports it: the worker itself, or the reaper for
// a worker that is lost. The job's row is locked first, then its owner hears of the move.

import { randomUUID } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import { claimedJob, milliseconds } from './claim.ts'
import type { ClaimedJob, FailureRule, JobFailure, JobHandler } from './job.ts'
import { countFailure, decideRetry, type FailureCounts, type RetryBounds } from './retry.ts'

export interface Verdict {
  failure: JobFailure
  rule: FailureRule
}

/** A running job whose row this transaction has locked. */
export type LockedJob = ClaimedJob & { uncounted: number; failures: FailureCounts; ageMs: number }

/** Locks the row of a claim of ours; undefined when it is ours no longer. */
export async function lockClaimed(
  tx: Tx,
  { id, claim }: ClaimedJob,
): Promise<LockedJob | undefined> {
  const { rows } = await sql<LockedJob>`
    SELECT ${lockedJob} FROM jobs
    WHERE id = ${id} AND state = 'running' AND claim = ${claim} FOR UPDATE`.execute(tx)
  return rows[0]
}

export const lockedJob: RawBuilder<LockedJob> = sql`${claimedJob}, jobs.uncounted, jobs.failures,
  extract(epoch FROM clock_timestamp() - jobs.queued_at)::float8 * 1000 AS "ageMs"`

export interface FailOptions {
  /** What the handler knows as the job; its `attempts` follow the row. */
  job: ClaimedJob
  locked: LockedJob
  handler: JobHandler
  verdict: Verdict
  bounds: RetryBounds
}

/** Ends the attempt of a locked job as its rule says. */
export async function fail(tx: Tx, options: FailOptions): Promise<'retry_scheduled' | 'dead'> {
  const { job, locked, handler, verdict, bounds } = options
  const { failure, rule } = verdict
  job.attempts = locked.attempts
  const failures = countFailure(locked.failures, failure.code, rule)
  const standing = { ...locked, ofThisCode: failures[failure.code] ?? 0 }
  const decision = decideRetry(rule, standing, bounds)
  if (decision.move === 'dead') {
    await bury(tx, job, failure)
    await handler.onDead(tx, job, failure)
    return 'dead'
  }
  const { attempts, dueAt } = await scheduleRetry(tx, job, {
    failure,
    delayMs: decision.delayMs,
    counts: rule.counts,
    failures,
  })
  job.attempts = attempts
  await handler.onRetryScheduled(tx, job, failure, dueAt)
  return 'retry_scheduled'
}

/** → dead, under a new death. The row must be locked. */
export async function bury(tx: Tx, { id, claim }: ClaimedJob, failure: JobFailure): Promise<void> {
  const { rows } = await sql`
    UPDATE jobs SET state = 'dead', death = ${randomUUID()}, finished_at = clock_timestamp(),
      error = ${JSON.stringify(failure)}::jsonb, claim = NULL, lease_until = NULL, worker = NULL
    WHERE id = ${id} AND state = 'running' AND claim = ${claim}
    RETURNING id`.execute(tx)
  if (rows.length === 0) throw notLocked(id)
}

interface Retry {
  failure: JobFailure
  delayMs: number
  counts: boolean
  failures: FailureCounts
}

async function scheduleRetry(
  tx: Tx,
  { id, claim }: ClaimedJob,
  { failure, delayMs, counts, failures }: Retry,
): Promise<{ attempts: number; dueAt: Timestamp }> {
  const { rows } = await sql<{ attempts: number; dueAt: Timestamp }>`
    UPDATE jobs SET state = 'pending', due_at = clock_timestamp() + ${milliseconds(delayMs)},
      ring_again_at = NULL, rings = 0, claim = NULL, lease_until = NULL, worker = NULL,
      error = ${JSON.stringify(failure)}::jsonb, failures = ${JSON.stringify(failures)}::jsonb,
      attempts = attempts - CASE WHEN ${counts}::boolean THEN 0 ELSE 1 END,
      uncounted = CASE WHEN ${counts}::boolean THEN 0 ELSE uncounted + 1 END
    WHERE id = ${id} AND state = 'running' AND claim = ${claim}
    RETURNING attempts, due_at AS "dueAt"`.execute(tx)
  const [row] = rows
  if (!row) throw notLocked(id)
  return row
}

function notLocked(jobId: string): Error {
  return new Error(`job ${jobId} was moved without its row being locked`)
}
