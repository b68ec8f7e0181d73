// A ledger of trivial jobs for the tests of the engine: rows as they are, and a handler that records
// what it hears and does what the test says.

import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import pino from 'pino'
import { type Static, Type } from 'typebox'
import type { Database, Executor } from '../../src/database/database.ts'
import type { Timestamp } from '../../src/database/types.ts'
import { type BoundJobs, bindJob, bindJobs } from '../../src/jobs/bind.ts'
import {
  type ClaimedJob,
  type CommittedMove,
  defineJob,
  type FailureRule,
  type JobFailure,
  type JobHandler,
  type JobState,
} from '../../src/jobs/job.ts'
import { openWorker, type Worker, type WorkerSettings } from '../../src/jobs/worker.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, BellHandler, Queue } from '../../src/queue/queue.ts'

export const silent = pino({ level: 'silent' })

const payload = Type.Object({ n: Type.Integer() })
export type TestPayload = Static<typeof payload>
export const testJob = defineJob({
  name: 'test.count',
  keyField: 'counter_id',
  payload,
  maxAttempts: 3,
  timeoutMs: 60_000,
})

export interface JobRow {
  id: string
  name: string
  key: string
  state: JobState
  attempts: number
  uncounted: number
  failures: Record<string, number>
  due_at: Timestamp
  ring_again_at: Timestamp | null
  rings: number
  claim: string | null
  lease_until: Timestamp | null
  worker: string | null
  error: JobFailure | null
  death: string | null
  result: string | null
  queued_at: Timestamp
  finished_at: Timestamp | null
}

export interface NewRow {
  name?: string
  lane?: string
  payload?: unknown
  maxAttempts?: number
}

/** Inserts so many pending jobs, due now; returns their ids in order of `n`. */
export async function addJobs(
  { db }: Pick<Database, 'db'>,
  count: number,
  { name = testJob.name, lane = 'lane', maxAttempts = testJob.maxAttempts, ...row }: NewRow = {},
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID())
  const fixed = 'payload' in row ? JSON.stringify(row.payload) : null
  await sql`
    INSERT INTO jobs (id, name, key, payload, lane, max_attempts)
    SELECT id, ${name}, id::text, coalesce(${fixed}::jsonb, jsonb_build_object('n', n)), ${lane},
      ${maxAttempts}::integer
    FROM unnest(${ids}::uuid[]) WITH ORDINALITY AS given (id, n)`.execute(db)
  return ids
}

export async function addJob(database: Pick<Database, 'db'>, row: NewRow = {}): Promise<string> {
  const [id] = await addJobs(database, 1, row)
  return id!
}

export async function readJob({ db }: { db: Executor }, id: string): Promise<JobRow> {
  const { rows } = await sql<JobRow>`SELECT * FROM jobs WHERE id = ${id}`.execute(db)
  return rows[0]!
}

/** As if so much time had passed for this job: it is due, its lease has run out, it is older. */
export async function age({ db }: Database, id: string, ms: number): Promise<void> {
  await sql`
    UPDATE jobs SET due_at = due_at - by, queued_at = queued_at - by, lease_until = lease_until - by,
      ring_again_at = ring_again_at - by, finished_at = finished_at - by
    FROM (SELECT ${ms}::float8 * interval '1 millisecond' AS by) AS passed
    WHERE id = ${id}`.execute(db)
}

export interface Heard {
  hook: 'claimed' | 'run' | 'retry_scheduled' | 'dead' | 'redriven' | 'handed_back' | 'unreadable'
  id: string
  /** Of a job that is put to work again, 0. */
  attempts: number
  failure?: JobFailure
}

export interface Recorder {
  jobs: BoundJobs
  heard: Heard[]
  committed: { id: string; move: CommittedMove }[]
  /** The hooks heard by one job, in order. */
  of(id: string): Heard['hook'][]
}

export interface Behaviour extends Partial<JobHandler<TestPayload>> {
  timeoutMs?: number
  rule?: FailureRule
}

/** A bound test job whose handler does nothing but record; `behaviour` replaces what matters. */
export function record({ timeoutMs, rule, ...behaviour }: Behaviour = {}): Recorder {
  const heard: Heard[] = []
  const committed: Recorder['committed'] = []
  const hear = (hook: Heard['hook'], { id, attempts }: ClaimedJob, failure?: JobFailure) =>
    void heard.push({ hook, id, attempts, ...(failure && { failure }) })
  const handler: JobHandler<TestPayload> = {
    onClaimed: async () => true,
    run: async () => async () => 'done',
    classify: (_job, error) => ({
      failure: { code: codeOf(error), detail: String(error), retryable: true },
      rule: rule ?? { retryable: true, counts: true },
    }),
    onRetryScheduled: async () => {},
    onDead: async () => {},
    onRedriven: async () => {},
    onHandedBack: async () => {},
    onUnreadable: async () => {},
    onCommitted: ({ id }, move) => void committed.push({ id, move }),
    ...behaviour,
  }
  const recording: JobHandler<TestPayload> = {
    ...handler,
    onClaimed: (tx, job) => {
      hear('claimed', job)
      return handler.onClaimed(tx, job)
    },
    run: (job, context) => {
      hear('run', job)
      return handler.run(job, context)
    },
    onRetryScheduled: (tx, job, failure, dueAt) => {
      hear('retry_scheduled', job, failure)
      return handler.onRetryScheduled(tx, job, failure, dueAt)
    },
    onDead: (tx, job, failure) => {
      hear('dead', job, failure)
      return handler.onDead(tx, job, failure)
    },
    onRedriven: (tx, job) => {
      heard.push({ hook: 'redriven', id: job.id, attempts: 0 })
      return handler.onRedriven(tx, job)
    },
    onHandedBack: (tx, job) => {
      hear('handed_back', job)
      return handler.onHandedBack(tx, job)
    },
    onUnreadable: async (tx, job, failure) => {
      hear('unreadable', job, failure)
      await handler.onUnreadable?.(tx, job, failure)
    },
  }
  const definition = { ...testJob, timeoutMs: timeoutMs ?? testJob.timeoutMs }
  return {
    jobs: bindJobs(bindJob(definition, recording)),
    heard,
    committed,
    of: (id) => heard.filter((entry) => entry.id === id).map(({ hook }) => hook),
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return typeof error
  return 'code' in error ? String(error.code) : 'name' in error ? String(error.name) : 'object'
}

export const settings: WorkerSettings = {
  concurrency: 4,
  leaseMs: 20_000,
  heartbeatMs: 5_000,
  maxAgeMs: 24 * 60 * 60_000,
}

/** That a lease is lost has to be noticed before it would have run out. */
export const BEFORE_LEASE_ENDS_MS = settings.leaseMs - 5_000

type Bell = Parameters<BellHandler>

/** A queue whose bells are rung by hand: what a broker delivers, in the order and as often as the test wants. */
export function handQueue(): Queue & { ring(...bell: Bell): Promise<Answer | undefined> } {
  let ring: BellHandler | undefined
  return {
    announce: async () => {},
    listen: async (handler, { signal }) => {
      ring = handler
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    },
    ping: async () => undefined,
    ring: async (...bell) => await ring?.(...bell),
    [Symbol.asyncDispose]: async () => {},
  }
}

export function ledgerQueue(database: Database): Promise<Queue> {
  return openQueue({ kind: 'postgres', database, log: silent, pollMs: 100 })
}

export interface StartOptions {
  queue: Queue
  jobs: BoundJobs
  settings?: Partial<WorkerSettings>
  random?: () => number
  now?: () => number
}

export function startWorker(
  database: Database,
  { settings: changed, ...options }: StartOptions,
): Worker {
  return openWorker({
    database,
    name: 'tester',
    log: silent,
    ...options,
    settings: { ...settings, ...changed },
  })
}

/** Resolves once the signal is aborted. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
