// For promises of others that take a signal late, or not at all.

import { addAbortListener } from 'node:events'

/** What the promise settles to, or at once the signal's reason when that aborts first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  using _ = addAbortListener(signal, () => reject(signal.reason))
  return await Promise.race([promise, aborted])
}
