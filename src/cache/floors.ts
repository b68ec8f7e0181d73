// The highest version of each key that this process has heard of. What the truth or this process's own
// writes showed is known; a version that others only told of counts the same, until the truth, asked
// afterwards, knows of none.

/** Longer than any load can take (statements end after 30 s), so no load outlives the floor that judges it. */
const FLOOR_LIFETIME_MS = 5 * 60_000

export interface Floors {
  /** Nothing below it may be served; 0 where nothing was seen. */
  of(key: string): number
  /** A version is known. True when it is the highest that is. */
  raise(key: string, version: number): boolean
  /** A version was told of. True when it is above all that is known, and the highest that was told of. */
  hear(key: string, version: number): boolean
  /** The highest version told of; 0 for none. */
  heard(key: string): number
  /** What was told of was no version of the truth. */
  disprove(key: string): void
  clear(): void
}

export function createFloors(now: () => number): Floors {
  const known = createHighest(now)
  const told = createHighest(now)
  return {
    of: (key) => Math.max(known.of(key), told.of(key)),
    raise: known.raise,
    hear: (key, version) => version > known.of(key) && told.raise(key, version),
    heard: told.of,
    disprove: told.forget,
    clear: () => {
      known.clear()
      told.clear()
    },
  }
}

/** Kept for one to two lifetimes. */
function createHighest(now: () => number) {
  let current = new Map<string, number>()
  let previous = new Map<string, number>()
  let turnedAt = now()
  const turn = () => {
    if (now() - turnedAt < FLOOR_LIFETIME_MS) return
    previous = current
    current = new Map()
    turnedAt = now()
  }
  const of = (key: string) => Math.max(current.get(key) ?? 0, previous.get(key) ?? 0)
  return {
    of,
    raise: (key: string, version: number): boolean => {
      turn()
      if (version <= of(key)) return false
      current.set(key, version)
      return true
    },
    forget: (key: string) => {
      current.delete(key)
      previous.delete(key)
    },
    clear: () => {
      current.clear()
      previous.clear()
    },
  }
}
