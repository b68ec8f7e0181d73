// The cached read: values fenced by version. Every version seen raises the key's floor; an entry below
// its floor is never served, and a load that began before a write and comes back with less is repeated,
// so a reader that saw the old row cannot refill the cache with it. Where processes share a cache, what is
// not in memory is looked for there before the truth is asked. Versions compare within one history of the
// truth only: one that was restored counts on from where it was put back to.

import { LRUCache } from 'lru-cache'
import { isAppError } from '../errors.ts'
import { settlesWithin } from '../lib/deadline.ts'
import { createFlights } from './flights.ts'
import { createFloors } from './floors.ts'
import { createTwoLevels, type SharedBy } from './two-levels.ts'
import { isGood, type Versioned } from './versioned.ts'

export interface ReadThroughOptions<V> {
  /** The truth; undefined when there is none. */
  load(key: string): Promise<V | undefined>
  /** Bytes a value holds. */
  sizeOf(value: V): number
  maxBytes: number
  /** How much longer than known to be current an entry may answer while the truth is `unavailable`. */
  maxStaleMs: number
  /** When (`now()`) this process last knew of every committed change; undefined while it does not know. */
  currentAsOf(): number | undefined
  now?: () => number
  shared?: SharedBy<V> | undefined
  /** How long an answer from the truth is awaited before it counts as away for who has an entry. */
  patienceMs?: number
}

export interface ReadThrough<V> {
  /** The value, from memory where that is certain. `ageSeconds` only when it may be old. */
  get(key: string): Promise<{ value: V; ageSeconds?: number } | undefined>
  /** The value at once, where `get` would not ask: a hit without a promise. */
  recall(key: string): V | undefined
  /** A change that the log tells of: nothing older is served from now on. */
  follow(key: string, version: number): void
  /** The same of a change of this process's own: the others are told before its answer goes out. Never rejects. */
  announce(key: string, version: number): Promise<void>
  /** The same of what another process tells, as far as anybody knows: the truth has the last word. */
  hear(key: string, version: number): void
  /** Memory begins anew. */
  forget(): void
  /** `forget`, and what was seen says nothing any more, loads under way included: another history of the truth began. */
  restart(): void
  /** What is held in memory. */
  figures(): CacheFigures
}

export interface CacheFigures {
  readonly entries: number
  readonly bytes: number
}

/** A process whose knowledge is older than this bypasses its memory: it is told of changes each second at least. */
const MAX_SILENCE_MS = 3_000

/** A statement of ours takes milliseconds; a server that is gone without a word is noticed after some seconds. */
const PATIENCE_MS = 2_000

/**
 * Memory before the shared cache before the truth, for the values of one `load`. What it keeps in memory takes
 * `maxBytes` at most, for which the least recently asked for make room.
 */
export function createReadThrough<V extends Versioned>(
  options: ReadThroughOptions<V>,
): ReadThrough<V> {
  const { load, sizeOf, maxBytes, maxStaleMs, currentAsOf, shared } = options
  const { now = () => performance.now(), patienceMs = PATIENCE_MS } = options
  const memory = createMemory(sizeOf, maxBytes)
  /** For how long this process may have missed a change. */
  const silentMs = () => now() - (currentAsOf() ?? Number.NEGATIVE_INFINITY)
  /** What is certain about memory and the shared cache: this process was told of every change just now. */
  const isTold = () => silentMs() <= MAX_SILENCE_MS

  const floors = createFloors(now)
  const flights = createFlights<V>({
    obtain: createTwoLevels({ load, shared, isTold, floorOf: floors.of }),
    floors,
    isWatching: () => currentAsOf() !== undefined,
    keep: memory.keep,
    now,
  })

  /** There is a version that nothing older may stand in for. */
  const outdate = (key: string, version: number) => {
    memory.drop(key, version)
    flights.outdate(key)
  }
  const raise = (key: string, version: number) => {
    if (floors.raise(key, version)) outdate(key, version)
  }

  /** What may answer while the truth is away. Looked up then: a write may have dropped it meanwhile. */
  const remembered = (key: string) => {
    const value = memory.of(key)
    const oldMs = silentMs()
    if (!value || oldMs > maxStaleMs) return undefined
    return { value, ageSeconds: Math.ceil(oldMs / 1000) }
  }

  /** What is certain to be current. */
  const recall = (key: string): V | undefined => {
    const isTrusted = isTold() && (shared?.level.isHearing() ?? true)
    return isTrusted ? memory.of(key) : undefined
  }

  return {
    recall,
    hear: (key, version) => {
      if (floors.hear(key, version)) outdate(key, version)
    },
    announce: async (key, version) => {
      raise(key, version)
      await shared?.level.announce(key, version)
    },
    follow: (key, version) => {
      raise(key, version)
      shared?.level.drop(key, version)
    },
    forget: memory.clear,
    restart: () => {
      memory.clear()
      floors.clear()
      flights.restart()
    },
    figures: memory.figures,
    get: async (key) => {
      const current = recall(key)
      if (current) return { value: current }
      const entry = memory.of(key)
      const { value: coming, startedAt } = flights.join(key)
      try {
        if (entry && !(await settlesWithin(coming, startedAt + patienceMs - now()))) {
          const old = remembered(key)
          if (old) return old
        }
        const value = await coming
        return value && { value }
      } catch (error) {
        const old = isAppError(error, 'unavailable') ? remembered(key) : undefined
        if (!old) throw error
        return old
      }
    },
  }
}

/** The entries that were asked for last, as many as fit. */
function createMemory<V extends Versioned>(sizeOf: (value: V) => number, maxBytes: number) {
  const entries = new LRUCache<string, V & object>({
    // The library takes 0 for no limit at all; into one byte no entry fits.
    maxSize: Math.max(1, maxBytes),
    sizeCalculation: (value) => sizeOf(value) + 256,
  })
  return {
    of: (key: string): V | undefined => {
      const entry = entries.get(key)
      return entry && isGood(entry) ? entry : undefined
    },
    keep: (key: string, value: V) => void entries.set(key, value),
    /** Unless it is of that version already. */
    drop: (key: string, version: number) => {
      const entry = entries.peek(key)
      if (entry && entry.version < version) entries.delete(key)
    },
    clear: () => entries.clear(),
    figures: (): CacheFigures => ({ entries: entries.size, bytes: entries.calculatedSize }),
  }
}
