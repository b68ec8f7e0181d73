// Whether the things that Vitrine depends on answer. Probes share one result for a moment, so that
// no number of them becomes a load of its own, and none waits longer than its deadline.

import { performance } from 'node:perf_hooks'
import { AppError } from '../errors.ts'
import { withDeadline } from '../lib/deadline.ts'

export interface CheckResult {
  status: 'healthy' | 'unhealthy'
  latency_ms: number
  /** ISO 8601. */
  checked_at: string
  /** Why not, in words that are safe to show to anybody. */
  error?: string
  /** Figures that say how well. */
  details?: CheckDetails
}

/** By name, with their unit: `delay_ms`. */
export type CheckDetails = Readonly<Record<string, number>>
/** Resolves when the dependency answers, and rejects otherwise. */
// biome-ignore lint/suspicious/noConfusingVoidType: most checks return nothing, as `ping` does.
export type Check = () => Promise<CheckDetails | void>

export interface HealthReport {
  /** `unhealthy`: requests fail. `degraded`: something behind them does. `stopping`: nothing is looked at any more. */
  status: 'healthy' | 'degraded' | 'unhealthy' | 'stopping'
  checks: Record<string, CheckResult>
}

export interface Health {
  /** Every dependency of this process. Never rejects. */
  report(): Promise<HealthReport>
  /** One dependency; undefined when there is none of this name. */
  check(name: string): Promise<CheckResult | undefined>
  /** From now on the process is not ready: it is shutting down. */
  setStopping(): void
  isStopping(): boolean
}

export interface HealthOptions {
  /** The limit of a check of what requests cannot do without. */
  timeoutMs?: number
  /** Of any other: probes wait for a second, and one that is silent must not make them miss it. */
  othersTimeoutMs?: number
  /** How long a result serves later probes. */
  maxAgeMs?: number
}

/** The dependency without which requests fail. */
const CRITICAL = 'database'

/** `checks` by the names that they have in the report. */
export function createHealth(
  checks: Readonly<Record<string, Check>>,
  { timeoutMs = 2_000, othersTimeoutMs = 800, maxAgeMs = 1_000 }: HealthOptions = {},
): Health {
  const limitOf = (name: string) => (name === CRITICAL ? timeoutMs : othersTimeoutMs)
  const probes = new Map(
    Object.entries(checks).map(([name, check]) => [
      name,
      shared(() => probe(check, limitOf(name)), maxAgeMs),
    ]),
  )
  let stopping = false
  return {
    report: async () => {
      if (stopping) return { status: 'stopping', checks: {} }
      const results = await Promise.all(
        [...probes].map(async ([name, run]) => [name, await run()] as const),
      )
      const failing = results.filter(([, { status }]) => status === 'unhealthy')
      const fatal = failing.some(([name]) => name === CRITICAL)
      return {
        status: fatal ? 'unhealthy' : failing.length > 0 ? 'degraded' : 'healthy',
        checks: Object.fromEntries(results),
      }
    },
    check: async (name) => probes.get(name)?.(),
    setStopping: () => {
      stopping = true
    },
    isStopping: () => stopping,
  }
}

async function probe(check: Check, timeoutMs: number): Promise<CheckResult> {
  const started = performance.now()
  const outcome = await outcomeOf(check, timeoutMs)
  return {
    status: outcome.error === undefined ? 'healthy' : 'unhealthy',
    latency_ms: Math.round((performance.now() - started) * 10) / 10,
    checked_at: new Date().toISOString(),
    ...outcome,
  }
}

/** Without an error when all is well. A check that hangs is left behind: the next probe starts a fresh one. */
async function outcomeOf(
  check: Check,
  timeoutMs: number,
): Promise<Pick<CheckResult, 'error' | 'details'>> {
  const late = () => new AppError('unavailable', `No answer within ${timeoutMs} ms.`)
  try {
    const details = await withDeadline(check(), timeoutMs, late)
    return details ? { details } : {}
  } catch (error) {
    // A driver's own words may hold addresses and user names.
    return { error: error instanceof AppError ? error.message : 'The check failed.' }
  }
}

/** Calls together share one run; its result serves until it is `maxAgeMs` old. */
function shared<T>(run: () => Promise<T>, maxAgeMs: number): () => Promise<T> {
  let current: Promise<T> | undefined
  let settledAt: number | undefined
  return () => {
    const fresh = settledAt === undefined || performance.now() - settledAt < maxAgeMs
    if (current && fresh) return current
    settledAt = undefined
    current = run().finally(() => {
      settledAt = performance.now()
    })
    return current
  }
}
