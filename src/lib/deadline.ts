// Waiting no longer than a while for what cannot be cancelled, only left behind.

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
