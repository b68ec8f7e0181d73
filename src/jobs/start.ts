// From a bell to a claimed job, or to a refusal that costs nothing: not due any more, no room, nobody
// here who knows the job. A claim that its owner cannot follow is a failed attempt like any other.

import type { Database, Tx } from '../database/database.ts'
import { isAppError } from '../errors.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Logger } from '../observability/logger.ts'
import { linesOf, tell } from './attempt.ts'
import type { BoundJob, BoundJobs } from './bind.ts'
import { claim, type DueJob, postpone, readDue } from './claim.ts'
import { bury, fail, lockClaimed } from './fail.ts'
import type { ClaimedJob } from './job.ts'
import type { RetryBounds } from './retry.ts'
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

export interface StartedJob {
  job: ClaimedJob
  bound: BoundJob
}

/** Waits before a job that was not admitted is announced again: they grow with its rings, up to the second. */
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 5_000
/** For jobs of a newer release, until one of its workers hears the bell. */
const UNKNOWN_PAUSE_MS = 60_000

/** Returns a function that claims the job of a bell: undefined when there is nothing to run. Throws `unavailable`. */
export function createStarter(
  options: StarterOptions,
): (jobId: string) => Promise<StartedJob | undefined> {
  const { database, jobs, bounds, log } = options
  const unknown = new Set<string>()
  const later = (jobId: string, pauseMs: number) =>
    postpone(database.db, jobId, pauseMs * (0.5 + bounds.random() / 2))

  const bindingOf = (name: string) => {
    const bound = jobs.get(name)
    if (!bound && !unknown.has(name)) log.warn({ job: name }, 'nobody here knows this kind of job')
    if (!bound) unknown.add(name)
    return bound
  }
  return async (jobId) => {
    const due = isUuid(jobId) ? await readDue(database.db, jobId) : undefined
    if (!due) return undefined
    const bound = bindingOf(due.name)
    if (!bound) return void (await later(jobId, UNKNOWN_PAUSE_MS))
    if (!isAdmitted(bound, due)) return void (await later(jobId, pauseAfter(due.rings)))
    try {
      return await startJob(jobId, bound, options)
    } catch (error) {
      if (isAppError(error, 'unavailable')) throw error
      log.error({ err: error, job_id: jobId, job: due.name }, 'a claim failed')
      if (!(await failToStart(jobId, bound, { ...options, error })))
        await later(jobId, pauseAfter(due.rings))
      return undefined
    }
  }
}

function isAdmitted({ handler, isPayload }: BoundJob, { payload }: DueJob): boolean {
  return !isPayload(payload) || handler.admit?.(payload) !== false
}

function pauseAfter(rings: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, rings - 1))
}

async function startJob(
  jobId: string,
  bound: BoundJob,
  { database, log, ...options }: StarterOptions,
): Promise<StartedJob | undefined> {
  const claimed = await database.transaction(async (tx) => {
    const job = await claim(tx, { jobId, ...options })
    return job && { job, move: await enter(tx, job, bound) }
  })
  if (!claimed) return undefined
  const { job, move } = claimed
  if (move === 'unreadable') log.error({ ...linesOf(job), ...unreadable }, 'a job is dead')
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
  jobId: string,
  bound: BoundJob,
  { database, bounds, log, error, ...options }: StarterOptions & { error: unknown },
): Promise<boolean> {
  const { handler } = bound
  const verdict = judge(handler, error, log)
  try {
    const failed = await database.transaction(async (tx) => {
      const job = await claim(tx, { jobId, ...options })
      const locked = job && (await lockClaimed(tx, job))
      return locked && { job, move: await fail(tx, { job, locked, handler, verdict, bounds }) }
    })
    if (failed)
      tell({ job: failed.job, bound }, { move: failed.move, failure: verdict.failure }, log)
    return true
  } catch (defect) {
    if (isAppError(defect, 'unavailable')) throw defect
    log.error({ err: defect, job_id: jobId }, 'a job can neither be started nor failed')
    return false
  }
}
