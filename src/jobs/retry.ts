// Whether a failed attempt is followed by another, and when. Pure: chance and age are passed in.

import type { FailureRule } from './job.ts'

/** The longest wait before attempt n + 1 is 2 s × 3^(n-1), at most 15 minutes. */
const BASE_MS = 2_000
const FACTOR = 3
const LONGEST_MS = 15 * 60_000
/** An origin may ask for more patience than that, but not for a day of it. */
const LONGEST_RETRY_AFTER_MS = 60 * 60_000

/** How a job stands at the moment its attempt failed. */
export interface Standing {
  /** Counted attempts, the failed one included. */
  attempts: number
  maxAttempts: number
  /** What `countFailure` has counted for the failure's code, this failure included. */
  ofThisCode: number
  /** Failures in a row before this one that did not count. */
  uncounted: number
  /** Since it was queued, or last redriven. */
  ageMs: number
}

export interface RetryBounds {
  maxAgeMs: number
  /** In [0, 1). */
  random: () => number
}

/** By code: counted failures since the job was queued, or last redriven, of codes with a maximum of their own. */
export type FailureCounts = Readonly<Record<string, number>>

export type Decision = { move: 'retry'; delayMs: number } | { move: 'dead' }

/** One more of its code, if that has a maximum. Failures that share the code and have none leave it to the others. */
export function countFailure(
  counts: FailureCounts,
  code: string,
  rule: FailureRule,
): FailureCounts {
  if (!rule.counts || rule.maxFailures === undefined) return counts
  return { ...counts, [code]: (counts[code] ?? 0) + 1 }
}

/** A retry that would come after the job's greatest age is not waited for: the job is dead at once. */
export function decideRetry(
  rule: FailureRule,
  { attempts, maxAttempts, ofThisCode, uncounted, ageMs }: Standing,
  { maxAgeMs, random }: RetryBounds,
): Decision {
  const { maxFailures = Infinity } = rule
  const isUsedUp = attempts >= maxAttempts || ofThisCode >= maxFailures
  if (!rule.retryable || (rule.counts && isUsedUp)) return { move: 'dead' }
  const failures = rule.counts ? attempts : uncounted + 1
  const delayMs = retryDelay(failures, rule.retryAfterMs, random())
  return ageMs + delayMs > maxAgeMs ? { move: 'dead' } : { move: 'retry', delayMs }
}

/**
 * Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/): what failed
 * together does not come back together, after a Retry-After neither.
 */
function retryDelay(failures: number, retryAfterMs: number | undefined, chance: number): number {
  const backoff = chance * Math.min(LONGEST_MS, BASE_MS * FACTOR ** (failures - 1))
  if (retryAfterMs === undefined) return backoff
  return Math.max(backoff, Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS) + chance * BASE_MS)
}
