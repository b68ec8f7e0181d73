// Takes back jobs whose lease ran out: their worker was killed, or cut off. To the job it is a failure
// like any other. Any number of nodes may run one.

import { sql } from 'kysely'
import type { Database, Db, Tx } from '../database/database.ts'
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
/** After this a job is tried again that could not be taken back, because its owner's hook threw. */
const DEFECT_PAUSE_MS = 30_000

export function openReaper(options: ReaperOptions): AsyncDisposable {
  const { everyMs = EVERY_MS } = options.settings
  return openSchedule({
    name: 'taking back lost jobs',
    everyMs,
    log: options.log,
    task: async (signal) => {
      let found: number
      do found = await reap(options)
      while (found === BATCH && !signal.aborted)
    },
  })
}

/** One round: a transaction for each job, so that one that cannot be taken back does not hold up the others. Returns how many were found. */
export async function reap(options: ReaperOptions): Promise<number> {
  const { database, jobs, log } = options
  const expired = await selectExpired(database.db, [...jobs.keys()])
  for (const held of expired) {
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
    if (isAppError(error, 'unavailable')) throw error
    log.error(
      { ...jobFields(bound, held), err: error },
      'a lost job could not be taken back; trying again',
    )
    await waitWith(database.db, held)
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
  const locked = await lockExpired(tx, held)
  if (!locked) return undefined
  const { uncounted: _uncounted, ageMs: _ageMs, ...job } = locked
  const { handler } = bound
  if (!bound.isPayload(job.payload)) {
    await buryUnreadable(tx, job, handler)
    return () => log.error({ ...attemptFields({ job, bound }), ...unreadable }, 'a job is dead')
  }
  const verdict = judge(handler, workerLost(job.worker), log)
  const move = await fail(tx, { job, locked, handler, verdict, bounds })
  return () => tell({ job, bound }, { move, failure: verdict.failure }, log)
}

async function selectExpired(db: Db, names: readonly string[]): Promise<Expired[]> {
  const { rows } = await sql<Expired>`
    SELECT id, claim, name, key FROM jobs
    WHERE state = 'running' AND lease_until <= now() AND name = ANY(${names}::text[])
    ORDER BY lease_until LIMIT ${BATCH}`.execute(db)
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

async function waitWith(db: Db, { id, claim }: Held): Promise<void> {
  await sql`
    UPDATE jobs SET lease_until = clock_timestamp() + ${milliseconds(DEFECT_PAUSE_MS)}
    WHERE id = ${id} AND state = 'running' AND claim = ${claim} AND lease_until <= clock_timestamp()`.execute(
    db,
  )
}
