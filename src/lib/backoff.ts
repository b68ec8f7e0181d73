// Pauses between tries of something that is away: each twice as long as the one before, and shorter than
// that by chance, so that many who wait for the same do not come back at once.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Backoff {
  /** No pause since it began, or began anew. */
  readonly isFresh: boolean
  /** The next pause takes no longer. */
  readonly nextMs: number
  /** Resolves after the next pause, at once when the signal is aborted. */
  pause(): Promise<void>
  /** What is tried has succeeded. */
  reset(): void
}

export interface BackoffOptions {
  firstMs: number
  longestMs: number
  signal: AbortSignal
}

export function createBackoff({ firstMs, longestMs, signal }: BackoffOptions): Backoff {
  let nextMs = firstMs
  let isFresh = true
  return {
    get isFresh() {
      return isFresh
    },
    get nextMs() {
      return nextMs
    },
    pause: async () => {
      const ms = nextMs * (0.5 + Math.random() / 2)
      nextMs = Math.min(2 * nextMs, longestMs)
      isFresh = false
      await sleep(ms, undefined, { signal }).catch(() => {})
    },
    reset: () => {
      nextMs = firstMs
      isFresh = true
    },
  }
}
