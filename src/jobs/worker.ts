// Listens for bells and runs jobs, at most so many at a time. A bell is answered, and with that
// acknowledged, once its job is claimed or refused; from then on the lease watches over the job.

import type { Database } from '../database/database.ts'
import { settlesWithin } from '../lib/deadline.ts'
import type { Logger } from '../observability/logger.ts'
import type { Queue } from '../queue/queue.ts'
import { createAttempts } from './attempts.ts'
import type { BoundJobs } from './bind.ts'
import { createIntake } from './intake.ts'
import { openLeases } from './leases.ts'
import { createStarter } from './start.ts'

export interface WorkerSettings {
  /** Jobs in flight at most. */
  concurrency: number
  leaseMs: number
  /** At most half of the lease. */
  heartbeatMs: number
  /** Since a job was queued or redriven; what fails afterwards is dead. */
  maxAgeMs: number
  /** How long an aborted handler may take to end. */
  graceMs?: number
}

export interface WorkerOptions {
  database: Database
  queue: Queue
  jobs: BoundJobs
  /** Shown as the worker of its jobs: a host and a process id, say. */
  name: string
  settings: WorkerSettings
  log: Logger
  /** In [0, 1). */
  random?: () => number
  /** Monotonic milliseconds. */
  now?: () => number
}

export interface Worker extends AsyncDisposable {
  /**
   * Takes no more jobs, lets running ones finish, and hands back in time what does not. Resolves within
   * about `deadlineMs`; what could not even be handed back returns when its lease runs out.
   */
  stop(options: { deadlineMs: number }): Promise<void>
}

/** Bells in hand at a time: claiming is short, and a bell that waits here for a place could be heard elsewhere. */
const BELLS_IN_HAND = 8
const GRACE_MS = 5_000
/** Kept from the time to stop, for handlers to end and for jobs to be handed back. */
const HAND_BACK_MS = 2_000

/** Listens at once. To close it is to `stop` it, with two seconds to do so. */
export function openWorker(options: WorkerOptions): Worker {
  const { database, queue, jobs, name, settings, log } = options
  const { random = Math.random, now = () => performance.now() } = options
  const { concurrency, leaseMs, maxAgeMs, graceMs = GRACE_MS } = settings
  const bounds = { maxAgeMs, random }
  const listening = new AbortController()
  const leaving = new AbortController()

  const leases = openLeases({ db: database.db, ...settings, log, now })
  const attempts = createAttempts({
    leases,
    graceMs,
    engine: { database, bounds, patienceMs: leaseMs, leaving: leaving.signal, log },
  })
  const intake = createIntake({
    starter: createStarter({ database, jobs, worker: name, leaseMs, bounds, log }),
    concurrency,
    run: attempts.run,
    signal: listening.signal,
    log,
    now,
  })
  const listened = queue.listen(intake.answer, {
    concurrency: Math.min(concurrency, BELLS_IN_HAND),
    signal: listening.signal,
  })

  const close = async (deadlineMs: number) => {
    const reservedMs = Math.min(HAND_BACK_MS, deadlineMs / 2)
    listening.abort()
    const finished = listened.then(intake.finish)
    await settlesWithin(finished, deadlineMs - reservedMs)
    attempts.handBack(reservedMs / 2)
    await settlesWithin(finished, reservedMs)
    leaving.abort()
    if (attempts.count > 0) log.warn({ jobs: attempts.count }, 'jobs were left to their leases')
    await leases[Symbol.asyncDispose]()
  }
  let closing: Promise<void> | undefined
  const stop: Worker['stop'] = async ({ deadlineMs }) => {
    closing ??= close(deadlineMs)
    await closing
  }
  return { stop, [Symbol.asyncDispose]: () => stop({ deadlineMs: HAND_BACK_MS }) }
}
