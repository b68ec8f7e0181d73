// What a kind of job is: its definition (a name and its bounds) and the handler that app/ binds to
// it. The engine knows jobs by these two shapes only.
//
//   pending ──claim──▶ running ──settle──▶ done
//      ▲                  │ ├─retryable failure, hand back, lease ran out──▶ pending
//      │                  │ └─final failure, out of attempts, too old─────▶ dead
//      └──────────────redrive (from done or dead)──────────────────────────┘
//
// A redrive of several begins those anew that are pending as well.

import type { TSchema } from 'typebox'
import type { Tx } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import type { Wait } from '../lib/allowance.ts'

export const jobStates = ['pending', 'running', 'done', 'dead'] as const
export type JobState = (typeof jobStates)[number]

export interface JobDefinition<S extends TSchema = TSchema> {
  /** What the kind is called in the ledger, logs and metrics: `image.process`. */
  name: string
  /** What a job's key is called in logs, as the id of what it works for: `image_id`. */
  keyField: string
  /** Members of the payload that operators know it by, under the names they know: `product_id`. */
  subject?: Readonly<Record<string, string>>
  /** Checked when a row is claimed: the ledger may hold what another release wrote. */
  payload: S
  maxAttempts: number
  /** One attempt's limit, without its waits; the attempt is aborted and counts as failed after it. */
  timeoutMs: number
}

export function defineJob<S extends TSchema>(definition: JobDefinition<S>): JobDefinition<S> {
  return definition
}

/** A job that this process has claimed. */
export interface ClaimedJob<P = unknown> {
  id: string
  name: string
  key: string
  payload: P
  lane: string
  /** The running attempt's fence: every later move of this attempt repeats it. */
  claim: string
  /**
   * Counted attempts, this one included; starts anew after a redrive. Where a move takes the attempt
   * back, it is lowered before the hook of that move runs.
   */
  attempts: number
  maxAttempts: number
  /** traceparent of the request that caused the job. */
  trace: string | null
  worker: string
  queuedAt: Timestamp
}

/** A dead job that is put to work again. */
export type RevivedJob<P = unknown> = Pick<ClaimedJob<P>, 'id' | 'name' | 'key' | 'payload'>

/** How an attempt failed, as the ledger keeps it. */
export interface JobFailure {
  code: string
  /** A sentence for a person; never a secret, never an address of the inside. */
  detail: string
  retryable: boolean
  stage?: string
  httpStatus?: number
}

/** The abort reason of an attempt that outlasted its definition's `timeoutMs`. It counts as a failure. */
export class JobTimeout extends Error {
  override readonly name = 'JobTimeout'
}

/** The abort reason of an attempt whose job may be somebody else's by now: whatever comes of it is discarded. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

/** The abort reason of an attempt whose process stops: unless it still finishes, the job is handed back. */
export class WorkerStopping extends Error {
  override readonly name = 'WorkerStopping'
}

/** The moves of a claimed job, as its handler is told of them. */
export type CommittedMove =
  | 'claimed'
  | 'done'
  | 'dropped'
  | 'retry_scheduled'
  | 'dead'
  | 'handed_back'

/** What to do about a failure of one code. Chosen by the handler, obeyed by the engine. */
export interface FailureRule {
  retryable: boolean
  /**
   * After so many counted failures of this code the job is dead, although it has attempts left. Since it was
   * queued, or last redriven; failures whose rule says nothing of it are not among them.
   */
  maxFailures?: number
  /** False for what is our own fault: the attempt is taken back (JOB_MAX_AGE still ends the job). */
  counts: boolean
  /** Earliest time of the next attempt, when somebody told us (Retry-After). */
  retryAfterMs?: number
}

export interface JobContext {
  /** Its `reason` is a JobTimeout, a LeaseLost or a WorkerStopping. Who ignores it is abandoned some seconds later. */
  signal: AbortSignal
  /** For a turn at something shared: what others keep the attempt waiting is not of its own time. */
  wait: Wait
}

/**
 * The effects of a finished attempt, run in the transaction that settles the job, after the job's
 * row was fenced; called again when that transaction has to be repeated. `dropped` when what the job
 * worked for is gone.
 */
export type Settlement = (tx: Tx) => Promise<'done' | 'dropped'>

/**
 * The owner's side of a job. Every `on…` runs inside the transaction of the ledger's move, after the
 * job's row was locked: lock order is job → product → images, everywhere.
 */
export interface JobHandler<P = unknown> {
  /**
   * Asked before a claim, without a lock: takes a place in a gate of the handler's, which is given back
   * by disposing of it when the attempt has ended. Undefined: there is none, the job is left for later
   * without counting anything, and asked for again when one of ours has ended. Must be quick and must
   * not throw.
   */
  admit?(payload: P): Disposable | undefined
  /** The claim is taken. False: there is nothing left to work for, the job ends `done`, result `dropped`. */
  onClaimed(tx: Tx, job: ClaimedJob<P>): Promise<boolean>
  /** The work, outside any transaction. Resolves to the settlement; throws to fail the attempt. */
  run(job: ClaimedJob<P>, context: JobContext): Promise<Settlement>
  /**
   * Turns what `run` or the settlement threw into failure and rule. Also given what the engine found:
   * a JobTimeout, or an AppError `worker_lost` for a lease that ran out. `job` is the
   * very object that `run` was given, where this process ran it.
   */
  classify(job: ClaimedJob<P>, error: unknown): { failure: JobFailure; rule: FailureRule }
  /** The job goes back to pending and is due at `dueAt`. */
  onRetryScheduled(tx: Tx, job: ClaimedJob<P>, failure: JobFailure, dueAt: Timestamp): Promise<void>
  /** The job is dead. */
  onDead(tx: Tx, job: ClaimedJob<P>, failure: JobFailure): Promise<void>
  /**
   * The job is dead because its payload does not fit the definition's: written by another release.
   * Of `job`, its key and its claim are what can be relied on: `onClaimed` may have run for it, elsewhere.
   */
  onUnreadable?(tx: Tx, job: ClaimedJob, failure: JobFailure): Promise<void>
  /** The job was dead and is pending again, with fresh attempts. */
  onRedriven(tx: Tx, job: RevivedJob<P>): Promise<void>
  /** The job goes back to pending, due at once, as if it had not been claimed (shutdown). */
  onHandedBack(tx: Tx, job: ClaimedJob<P>): Promise<void>
  /** After the transaction of a move was committed: the place for log lines and wake-ups. Must not throw. */
  onCommitted?(job: ClaimedJob<P>, move: CommittedMove, failure?: JobFailure): void
}
