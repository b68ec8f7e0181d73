// Retry-After (RFC 9110, 10.2.3): seconds, or a date. Pure.

/** An origin may hold a picture up this long, not longer. */
const MAX_RETRY_AFTER_MS = 3_600_000

/** Milliseconds to wait from `now` (milliseconds since 1970); undefined for nothing or nonsense. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? ''
  if (text === '') return undefined
  // Date.parse takes any number for a year, a negative one too.
  const wait = /^\d+$/.test(text) ? Number(text) * 1_000 : dateOf(text) - now
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), MAX_RETRY_AFTER_MS)
}

/** Dates start with the name of a day in all three forms of the RFC. */
function dateOf(text: string): number {
  return /^[A-Z][a-z]/.test(text) ? Date.parse(text) : Number.NaN
}
