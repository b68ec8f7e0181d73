// Opening at a start what may still be starting itself.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Patience<E> {
  timeoutMs: number
  /** Between attempts. */
  everyMs: number
  signal: AbortSignal | undefined
  /** Whether waiting can help. */
  mayPass(error: unknown): error is E
  /** Called before each further attempt. */
  onWait(error: E, leftSeconds: number): void
  /** What to throw when the time is up. */
  gaveUp(error: E, afterSeconds: number): Error
}

/** Tries again and again, for as long as waiting may help. Rejects with the signal's reason when aborted. */
export async function openPatiently<T, E>(
  open: () => Promise<T>,
  { timeoutMs, everyMs, signal, mayPass, onWait, gaveUp }: Patience<E>,
): Promise<T> {
  const startedAt = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await open()
    } catch (error) {
      if (!mayPass(error)) throw error
      const waitedMs = performance.now() - startedAt
      if (waitedMs + everyMs > timeoutMs) throw gaveUp(error, Math.round(waitedMs / 1_000))
      onWait(error, Math.round((timeoutMs - waitedMs) / 1_000))
      await sleep(everyMs, undefined, signal ? { signal } : {}).catch(() => {})
    }
  }
}
