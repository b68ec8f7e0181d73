// Waits for a condition instead of for a time.

/**
 * Tries `check` until it no longer throws; throws what it threw last once `timeoutMs` is over. That is
 * long enough for a machine that is busy with much else: who means "soon" gives a limit.
 */
export async function eventually<T>(check: () => T | Promise<T>, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}
