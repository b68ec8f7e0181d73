// Waiting no longer than a while, or until a signal, for what cannot be cancelled, only left behind.

/** Whether the promise is resolved by then; one that rejects in time does so here. */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: deadline, resolve } = Promise.withResolvers<false>()
  const timer = setTimeout(resolve, Math.max(0, ms), false)
  try {
    return await Promise.race([promise.then(() => true), deadline])
  } finally {
    clearTimeout(timer)
  }
}

/** What the promise resolves to; throws what `late` makes when it has not settled by then. */
export async function withDeadline<T>(
  promise: Promise<T>,
  ms: number,
  late: () => Error,
): Promise<T> {
  if (await settlesWithin(promise, ms)) return await promise
  throw late()
}

/** What the promise resolves to; rejects with the signal's reason when that is aborted first. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
    promise.catch(() => {})
  }
}
