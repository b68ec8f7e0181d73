// From a bell to a claimed job, or to a refusal that costs nothing: not due any more, no room, nobody
// here who knows the job. A claim that its owner cannot follow is a failed attempt like any other.

import type { Database, Tx } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import { isAppError } from '../errors.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Logger } from '../observability/logger.ts'
import { attemptFields, tell } from './attempt.ts'
import { type BoundJob, type BoundJobs, jobFields } from './bind.ts'
import { claim, type DueJob, postpone, readDue } from './claim.ts'
import { bury, fail, lockClaimed } from './fail.ts'
import type { ClaimedJob } from './job.ts'
import type { RetryBounds } from './retry.ts'
import { type Revival, revive } from './revive.ts'
import { settle } from './settle.ts'
import { judge, unreadable } from './verdict.ts'

export interface StarterOptions {
  database: Database
  jobs: BoundJobs
  worker: string
  leaseMs: number
  bounds: RetryBounds
  log: Logger
}

/** A job that is due, of a kind that is known here. */
export interface Candidate {
  jobId: string
  bound: BoundJob
  due: DueJob
  /** Of a job that this process has put off. */
  putOffUntil?: Timestamp
}

export interface PutOff {
  candidate: Candidate
  /** From now until it is announced again. */
  pauseMs: number
}

export interface StartedJob {
  job: ClaimedJob
  bound: BoundJob
}

/** All of them throw `unavailable`. */
export interface Starter {
  /** The job of a bell; undefined when there is nothing to run for anybody here, `unknown` when there is no such job. */
  find(jobId: string): Promise<Candidate | 'unknown' | undefined>
  /** Puts a dead job to work again, on the message of its last death: see `revive`. */
  revive(jobId: string, death: string): Promise<Revival>
  /** Leaves a due job for later, when it is announced again. Undefined when somebody was faster. */
  putOff(candidate: Candidate): Promise<PutOff | undefined>
  /** Claims the job; undefined when it ended with that, or somebody was faster. */
  start(candidate: Candidate): Promise<StartedJob | undefined>
}

/**
 * Waits before a job that was put off is announced again, for others to hear: they double with its rings, from
 * FIRST_PAUSE_MS to LONGEST_PAUSE_MS, and chance takes up to half off. Here it is remembered meanwhile, and starts
 * as soon as there is room.
 */
const FIRST_PAUSE_MS = 4_000
const LONGEST_PAUSE_MS = 15_000
/** For jobs of a newer release, until one of its workers hears the bell. */
const UNKNOWN_PAUSE_MS = 60_000

export function createStarter(options: StarterOptions): Starter {
  const { database, jobs, bounds, log } = options
  const { db } = database
  const unknown = new Set<string>()
  const jittered = (pauseMs: number) => pauseMs * (0.5 + bounds.random() / 2)

  const leaveToOthers = async (jobId: string, name: string) => {
    if (!unknown.has(name)) log.warn({ job: name }, 'nobody here knows this kind of job')
    unknown.add(name)
    await postpone(db, jobId, jittered(UNKNOWN_PAUSE_MS))
  }
  const putOff: Starter['putOff'] = async (candidate) => {
    const { jobId, due } = candidate
    const pauseMs = jittered(pauseAfter(due.rings))
    const putOffUntil = await postpone(db, jobId, pauseMs)
    if (putOffUntil === undefined) return undefined
    return { candidate: { ...candidate, putOffUntil }, pauseMs }
  }
  return {
    putOff,
    find: async (jobId) => {
      const due = isUuid(jobId) ? await readDue(db, jobId) : 'unknown'
      if (!due || due === 'unknown') return due
      const bound = jobs.get(due.name)
      if (!bound) return void (await leaveToOthers(jobId, due.name))
      return { jobId, bound, due }
    },
    revive: (jobId, death) => database.transaction((tx) => revive(tx, { jobId, death, jobs })),
    start: async (candidate) => {
      try {
        return await startJob(candidate, options)
      } catch (error) {
        if (isAppError(error, 'unavailable')) throw error
        log.error({ ...fieldsOf(candidate), err: error }, 'a claim failed')
        if (!(await failToStart(candidate, error, options))) await putOff(candidate)
        return undefined
      }
    },
  }
}

const NO_PLACE: Disposable = { [Symbol.dispose]: () => {} }

/** A place for the job; undefined while its handler has no room. What no handler can read needs none. */
export function admit({ bound: { handler, isPayload }, due }: Candidate): Disposable | undefined {
  if (!handler.admit || !isPayload(due.payload)) return NO_PLACE
  return handler.admit(due.payload)
}

function fieldsOf({ jobId, due, bound }: Candidate): Record<string, unknown> {
  return jobFields(bound, { id: jobId, key: due.key })
}

function pauseAfter(rings: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, rings - 1))
}

async function startJob(
  { bound, ...candidate }: Candidate,
  { database, log, ...options }: StarterOptions,
): Promise<StartedJob | undefined> {
  const claimed = await database.transaction(async (tx) => {
    const job = await claim(tx, { ...candidate, ...options })
    return job && { job, move: await enter(tx, job, bound) }
  })
  if (!claimed) return undefined
  const { job, move } = claimed
  if (move === 'unreadable')
    log.error({ ...attemptFields({ job, bound }), ...unreadable }, 'a job is dead')
  else tell({ job, bound }, { move }, log)
  return move === 'claimed' ? { job, bound } : undefined
}

async function enter(
  tx: Tx,
  job: ClaimedJob,
  { handler, isPayload }: BoundJob,
): Promise<'claimed' | 'dropped' | 'unreadable'> {
  if (!isPayload(job.payload)) {
    await buryUnreadable(tx, job, handler)
    return 'unreadable'
  }
  if (await handler.onClaimed(tx, job)) return 'claimed'
  await settle(tx, job, async () => 'dropped')
  return 'dropped'
}

/** running → dead for a payload that no handler may see. The row must be locked. */
export async function buryUnreadable(
  tx: Tx,
  job: ClaimedJob,
  handler: BoundJob['handler'],
): Promise<void> {
  await bury(tx, job, unreadable)
  await handler.onUnreadable?.(tx, job, unreadable)
}

/** The attempt is over before it began: it is claimed and failed at once. False when that failed too. */
async function failToStart(
  candidate: Candidate,
  error: unknown,
  { database, bounds, log, ...options }: StarterOptions,
): Promise<boolean> {
  const { bound } = candidate
  const { handler } = bound
  try {
    const failed = await database.transaction(async (tx) => {
      const job = await claim(tx, { ...candidate, ...options })
      const locked = job && (await lockClaimed(tx, job))
      if (!locked) return undefined
      const verdict = judge(error, { handler, job, log })
      const move = await fail(tx, { job, locked, handler, verdict, bounds })
      return { job, move, failure: verdict.failure }
    })
    if (failed) tell({ job: failed.job, bound }, failed, log)
    return true
  } catch (defect) {
    if (isAppError(defect, 'unavailable')) throw defect
    log.error({ ...fieldsOf(candidate), err: defect }, 'a job can neither be started nor failed')
    return false
  }
}
