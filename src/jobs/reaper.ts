// Takes back jobs whose lease ran out: their worker was killed, or cut off. To the job it is a failure
// like any other. Any number of nodes may run one.

import { sql } from 'kysely'
import type { Database, Db, Tx } from '../database/database.ts'
import { isLockTimeout } from '../database/sql-errors.ts'
import { isAppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { attemptFields, tell } from './attempt.ts'
import { type BoundJob, type BoundJobs, jobFields } from './bind.ts'
import { milliseconds } from './claim.ts'
import { fail, type LockedJob, lockedJob } from './fail.ts'
import type { Held } from './heartbeat.ts'
import type { RetryBounds } from './retry.ts'
import { openSchedule } from './schedule.ts'
import { buryUnreadable } from './start.ts'
import { judge, unreadable, workerLost } from './verdict.ts'

export interface ReaperOptions {
  database: Database
  jobs: BoundJobs
  settings: { everyMs?: number; maxAgeMs: number }
  log: Logger
  /** In [0, 1). */
  random?: () => number
}

const EVERY_MS = 2_000
const BATCH = 100
/** How long one job may wait for what it belongs to, while others wait for their turn. */
const LOCK_TIMEOUT = '1s'
/** After this a job is tried again that could not be taken back: somebody held on to its owner. */
const LOCKED_PAUSE_MS = 10_000
/** The same, because its owner's hook threw. */
const DEFECT_PAUSE_MS = 30_000

export function openReaper(options: ReaperOptions): AsyncDisposable {
  const { everyMs = EVERY_MS } = options.settings
  return openSchedule({
    name: 'taking back lost jobs',
    everyMs,
    log: options.log,
    task: async (signal) => {
      let found: number
      do found = await reap(options, signal)
      while (found === BATCH && !signal.aborted)
    },
  })
}

/**
 * One round: a transaction for each job, so that one that cannot be taken back does not hold up the others. The
 * signal ends it before the next job. Returns how many were found.
 */
export async function reap(options: ReaperOptions, signal?: AbortSignal): Promise<number> {
  const { database, jobs, log } = options
  const expired = await selectExpired(database.db, [...jobs.keys()])
  for (const held of expired) {
    if (signal?.aborted) break
    const bound = jobs.get(held.name)
    if (bound) await takeBack(held, bound, options)
  }
  if (expired.length > 0) {
    log.debug({ jobs: expired.length }, 'leases had run out')
    database.signals.send('jobs')
  }
  return expired.length
}

async function takeBack(held: Expired, bound: BoundJob, options: ReaperOptions): Promise<void> {
  const { database, settings, log, random = Math.random } = options
  const bounds = { maxAgeMs: settings.maxAgeMs, random }
  try {
    const ended = await database.transaction((tx) => reclaim(tx, held, { bound, bounds, log }))
    ended?.()
  } catch (error) {
    const isLocked = isLockTimeout(error)
    if (!isLocked && isAppError(error, 'unavailable')) throw error
    log[isLocked ? 'warn' : 'error'](
      { ...jobFields(bound, held), err: error },
      'a lost job could not be taken back; trying again',
    )
    await waitWith(database.db, held, isLocked ? LOCKED_PAUSE_MS : DEFECT_PAUSE_MS)
  }
}

type Expired = Held & { name: string; key: string }

interface Reclaim {
  bound: BoundJob
  bounds: RetryBounds
  log: Logger
}

/** Returns what is to be done after the commit; undefined when the job is not lost after all. */
async function reclaim(
  tx: Tx,
  held: Held,
  { bound, bounds, log }: Reclaim,
): Promise<(() => void) | undefined> {
  await sql`SET LOCAL lock_timeout = ${sql.lit(LOCK_TIMEOUT)}`.execute(tx)
  const locked = await lockExpired(tx, held)
  if (!locked) return undefined
  const { uncounted: _uncounted, failures: _failures, ageMs: _ageMs, ...job } = locked
  const { handler } = bound
  if (!bound.isPayload(job.payload)) {
    await buryUnreadable(tx, job, handler)
    return () => log.error({ ...attemptFields({ job, bound }), ...unreadable }, 'a job is dead')
  }
  const verdict = judge(workerLost(job.worker), { handler, job, log })
  const move = await fail(tx, { job, locked, handler, verdict, bounds })
  return () => tell({ job, bound }, { move, failure: verdict.failure }, log)
}

/** The locks end with the statement: they only keep out what is locked by others, behind which more may wait. */
async function selectExpired(db: Db, names: readonly string[]): Promise<Expired[]> {
  const { rows } = await sql<Expired>`
    SELECT id, claim, name, key FROM jobs
    WHERE state = 'running' AND lease_until <= now() AND name = ANY(${names}::text[])
    ORDER BY lease_until LIMIT ${BATCH} FOR UPDATE SKIP LOCKED`.execute(db)
  return rows
}

/** Passes over a row that is locked: its worker lives and settles, or another reaper has it. */
async function lockExpired(tx: Tx, { id, claim }: Held): Promise<LockedJob | undefined> {
  const { rows } = await sql<LockedJob>`
    SELECT ${lockedJob} FROM jobs
    WHERE id = ${id} AND state = 'running' AND claim = ${claim} AND lease_until <= clock_timestamp()
    FOR UPDATE SKIP LOCKED`.execute(tx)
  return rows[0]
}

/** Passes over a row that is locked, as `lockExpired` does. */
async function waitWith(db: Db, { id, claim }: Held, pauseMs: number): Promise<void> {
  await sql`
    UPDATE jobs SET lease_until = clock_timestamp() + ${milliseconds(pauseMs)}
    FROM (
      SELECT id FROM jobs
      WHERE id = ${id} AND state = 'running' AND claim = ${claim} AND lease_until <= clock_timestamp()
      FOR UPDATE SKIP LOCKED) AS expired
    WHERE jobs.id = expired.id`.execute(db)
}
