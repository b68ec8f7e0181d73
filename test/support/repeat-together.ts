// Actors that do over and over what they do, all at once, until everything that they count has happened.

import assert from 'node:assert/strict'

const PATIENCE_MS = 60_000

export interface Actors {
  /** Each takes one turn after the other. */
  actors: readonly (() => Promise<unknown>)[]
  /** How often what happened; they keep it. */
  counts: Readonly<Record<string, number>>
  /** They go on for so long, and as much longer as a slow machine needs for each thing to happen once. */
  durationMs: number
}

/** Rejects once all have ended when one of them saw an error, or when something never happened. */
export async function repeatTogether({ actors, counts, durationMs }: Actors): Promise<void> {
  const failures: unknown[] = []
  const started = performance.now()
  const isOver = () => {
    const elapsedMs = performance.now() - started
    const all = Object.values(counts).every((count) => count > 0)
    return failures.length > 0 || elapsedMs > (all ? durationMs : durationMs + PATIENCE_MS)
  }
  const repeat = async (turn: () => Promise<unknown>) => {
    try {
      while (!isOver()) await turn()
    } catch (error) {
      failures.push(error)
    }
  }
  await Promise.all(actors.map(repeat))
  assert.deepEqual(failures, [], 'nobody saw an error: a deadlock would be one')
  for (const [name, count] of Object.entries(counts))
    assert.ok(count > 0, `${name}: none, ${JSON.stringify(counts)}`)
}

/** So many of one kind. */
export function times<T>(count: number, actor: T): T[] {
  return Array.from({ length: count }, () => actor)
}
