// Removing much in small bites, so that no statement holds many locks for long.

/** Repeats what removes at most `size` at a time until it finds fewer; returns how many in all. */
export async function inBites(
  size: number,
  bite: (size: number) => Promise<number>,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0
  for (;;) {
    const bitten = await bite(size)
    removed += bitten
    if (bitten < size || signal.aborted) return removed
  }
}
