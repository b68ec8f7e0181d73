// One attempt of a claimed job, from the handler's start to the move that ends it. Whatever happens in
// between, a throw, a hang, a lost lease, an outage, it comes to exactly one ledger move, or to none
// and the reaper makes it.

import type { Database, Tx } from '../database/database.ts'
import { isAppError } from '../errors.ts'
import { startAllowance } from '../lib/allowance.ts'
import { createBackoff } from '../lib/backoff.ts'
import type { Logger } from '../observability/logger.ts'
import { type BoundJob, jobFields } from './bind.ts'
import { fail, lockClaimed, type Verdict } from './fail.ts'
import { handBack } from './hand-back.ts'
import {
  type ClaimedJob,
  type CommittedMove,
  type JobFailure,
  JobTimeout,
  LeaseLost,
  type Settlement,
  WorkerStopping,
} from './job.ts'
import type { Lease } from './leases.ts'
import type { RetryBounds } from './retry.ts'
import { settle } from './settle.ts'
import { judge } from './verdict.ts'

export interface Attempt {
  job: ClaimedJob
  bound: BoundJob
  lease: Lease
  /** Aborted by whoever wants the attempt to end, with one of the reasons in job.ts. */
  ending: AbortController
}

export interface AttemptEngine {
  database: Database
  bounds: RetryBounds
  /** How long an aborted handler may take to end, before the attempt goes on without it. */
  graceMs: () => number
  /** For how long a move is tried again while the database is away. */
  patienceMs: number
  /** Aborted when the process will not wait any longer. */
  leaving: AbortSignal
  log: Logger
}

/** Never rejects. */
export async function runAttempt(attempt: Attempt, engine: AttemptEngine): Promise<void> {
  const ending = await runHandler(attempt, engine)
  await conclude(attempt, ending, engine)
}

type Ending =
  | { kind: 'finished'; settlement: Settlement }
  | { kind: 'failed'; error: unknown }
  | { kind: 'stopped' }
  | { kind: 'lost' }

async function runHandler({ job, bound, ending }: Attempt, engine: AttemptEngine): Promise<Ending> {
  const { signal } = ending
  const { timeoutMs } = bound.definition
  const timeUp = () => ending.abort(new JobTimeout(`The attempt took longer than ${timeoutMs} ms.`))
  using time = startAllowance(timeoutMs, timeUp)
  try {
    const work = Promise.try(() => bound.handler.run(job, { signal, wait: time.wait }))
    const settlement = await orAbandon(work, { job, bound, signal, engine })
    return signal.reason instanceof LeaseLost ? { kind: 'lost' } : { kind: 'finished', settlement }
  } catch (error) {
    if (signal.reason instanceof LeaseLost) return { kind: 'lost' }
    if (signal.reason instanceof WorkerStopping) return { kind: 'stopped' }
    return { kind: 'failed', error: causeOf(error, signal) }
  }
}

/** An AbortError tells less than the reason of the abort. */
function causeOf(error: unknown, signal: AbortSignal): unknown {
  return signal.aborted && error instanceof Error && error.name === 'AbortError'
    ? signal.reason
    : error
}

/**
 * A handler that ignores its abort is left behind: its job is retried and its place given to others, for
 * a place that is never given back would be lost until the next start. Whatever it still does is fenced.
 */
async function orAbandon<T>(
  work: Promise<T>,
  {
    signal,
    engine,
    ...attempt
  }: Pick<Attempt, 'job' | 'bound'> & {
    signal: AbortSignal
    engine: AttemptEngine
  },
): Promise<T> {
  const { promise: abandoned, reject } = Promise.withResolvers<never>()
  let grace: NodeJS.Timeout | undefined
  const abandon = () => {
    engine.log.error(
      attemptFields(attempt),
      'a handler does not end although it was aborted; it is left behind',
    )
    reject(signal.reason)
  }
  const startGrace = () => {
    grace = setTimeout(abandon, engine.graceMs())
  }
  signal.addEventListener('abort', startGrace)
  if (signal.aborted) startGrace()
  try {
    return await Promise.race([work, abandoned])
  } finally {
    clearTimeout(grace)
    signal.removeEventListener('abort', startGrace)
    work.catch(() => {})
  }
}

interface Concluded {
  move: CommittedMove
  failure?: JobFailure
}

async function conclude(attempt: Attempt, ending: Ending, engine: AttemptEngine): Promise<void> {
  const { log } = engine
  if (ending.kind === 'lost') return void log.warn(attemptFields(attempt), LOST)
  try {
    const concluded = await untilReachable(attempt, engine, moveFor(attempt, ending, engine))
    if (!concluded) return void log.warn(attemptFields(attempt), LOST)
    if (concluded.move === 'handed_back') engine.database.signals.send('jobs')
    tell(attempt, concluded, log)
  } catch (error) {
    if (ending.kind === 'finished' && !isAppError(error, 'unavailable'))
      return await conclude(attempt, { kind: 'failed', error }, engine)
    log.error(
      { ...attemptFields(attempt), err: error },
      'an attempt could not be ended; its lease will run out',
    )
  }
}

const LOST = 'an attempt was discarded: its job is no longer ours'

type Move = (tx: Tx) => Promise<Concluded | undefined>

/** The move that the ending asks for; undefined from it means that the claim is no longer ours. */
function moveFor(
  { job, bound: { handler } }: Attempt,
  ending: Exclude<Ending, { kind: 'lost' }>,
  { bounds, log }: AttemptEngine,
): Move {
  switch (ending.kind) {
    case 'finished':
      return async (tx) => {
        const move = await settle(tx, job, ending.settlement)
        return move && { move }
      }
    case 'failed': {
      const verdict: Verdict = judge(ending.error, { handler, job, log })
      return async (tx) => {
        const locked = await lockClaimed(tx, job)
        if (!locked) return undefined
        const move = await fail(tx, { job, locked, handler, verdict, bounds })
        return { move, failure: verdict.failure }
      }
    }
    case 'stopped':
      return async (tx) => {
        const attempts = await handBack(tx, job)
        if (attempts === undefined) return undefined
        job.attempts = attempts
        await handler.onHandedBack(tx, job)
        return { move: 'handed_back' }
      }
  }
}

const PAUSES = { firstMs: 100, longestMs: 2_000 }

/** Repeats the move while the database is away and the job is ours. Rejects with the last error. */
async function untilReachable(
  { lease }: Attempt,
  { database, patienceMs, leaving }: AttemptEngine,
  move: Move,
): Promise<Concluded | undefined> {
  const until = performance.now() + patienceMs
  const backoff = createBackoff({ ...PAUSES, signal: leaving })
  for (;;) {
    try {
      return await database.transaction(move)
    } catch (error) {
      const isOver = lease.isLost || leaving.aborted || performance.now() + backoff.nextMs > until
      if (isOver || !isAppError(error, 'unavailable')) throw error
      await backoff.pause()
    }
  }
}

/** Tells the handler of a committed move; a defect in there must not undo what is done. */
export function tell(
  attempt: Pick<Attempt, 'job' | 'bound'>,
  { move, failure }: Concluded,
  log: Logger,
): void {
  const { job, bound } = attempt
  try {
    bound.handler.onCommitted?.(job, move, failure)
  } catch (error) {
    log.error(
      { ...attemptFields(attempt), err: error },
      `a handler threw when told that its job is ${move}`,
    )
  }
}

/** What every line in the log about an attempt carries. */
export function attemptFields({
  job,
  bound,
}: Pick<Attempt, 'job' | 'bound'>): Record<string, unknown> {
  return { ...jobFields(bound, job), attempt: job.attempts }
}
