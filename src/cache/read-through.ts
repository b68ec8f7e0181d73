// The cached read: values fenced by version. Every version seen raises the key's floor; an entry below
// its floor is never served, and a load that began before a write and comes back with less is repeated,
// so a reader that saw the old row cannot refill the cache with it. Where processes share a cache, what is
// not in memory is looked for there before the truth is asked. Versions compare within one history of the
// truth only: one that was restored counts on from where it was put back to.

import { LRUCache } from 'lru-cache'
import { isAppError } from '../errors.ts'
import { settlesWithin } from '../lib/deadline.ts'
import type { SharedEntry } from './cache.ts'
import { createFloors } from './floors.ts'
import type { SharedLevel } from './shared-level.ts'

/** A repeated load starts after the write it missed was committed, so the second already sees it. */
const MAX_LOADS = 3
/** Drops whatever is held. */
const ABOVE_ALL = Number.MAX_SAFE_INTEGER

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

/** The cache that this process shares with others, and how a value is kept there. */
export interface SharedBy<V> {
  readonly level: SharedLevel
  pack(value: V): Buffer
  /** Undefined for what was not packed for that key. */
  unpack(key: string, entry: SharedEntry): V | undefined
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

/** What is kept. */
export interface Versioned {
  readonly version: number
  /** When it may not be served any more, in milliseconds since 1970; undefined for what does not end by itself. */
  readonly goodUntil?: number | undefined
}

interface Flight<V> {
  value: Promise<V | undefined>
  startedAt: number
}

export function createReadThrough<V extends Versioned>(
  options: ReadThroughOptions<V>,
): ReadThrough<V> {
  const { load, sizeOf, maxBytes, maxStaleMs, currentAsOf, shared } = options
  const { now = () => performance.now(), patienceMs = PATIENCE_MS } = options
  const entries = new LRUCache<string, V & object>({
    // The library takes 0 for no limit at all; into one byte no entry fits.
    maxSize: Math.max(1, maxBytes),
    sizeCalculation: (value) => sizeOf(value) + 256,
  })
  const floors = createFloors(now)
  const flights = new Map<string, Flight<V>>()
  /** How many histories of the truth there have been. */
  let history = 0

  const held = (key: string): V | undefined => {
    const entry = entries.get(key)
    return entry && isGood(entry) ? entry : undefined
  }

  /** There is a version that nothing older may stand in for. */
  const outdate = (key: string, version: number) => {
    const entry = entries.peek(key)
    if (entry && entry.version < version) entries.delete(key)
    // Whoever joins from now on must see this version; a flight that has begun may not.
    flights.delete(key)
  }
  const raise = (key: string, version: number) => {
    if (floors.raise(key, version)) outdate(key, version)
  }

  /** What is certain about memory and the shared cache: this process was told of every change just now. */
  const isTold = () => {
    const asOf = currentAsOf()
    return asOf !== undefined && now() - asOf <= MAX_SILENCE_MS
  }

  /** From the shared cache, else from the truth, whose answer then goes there. */
  const obtain = async (key: string): Promise<{ value: V | undefined; isTruth: boolean }> => {
    const looked = shared && isTold() ? await shared.level.look(key, floors.of(key)) : undefined
    if (shared && looked && 'entry' in looked) {
      const value = shared.unpack(key, looked.entry)
      if (value && isGood(value)) return { value, isTruth: false }
      if (!value) shared.level.drop(key, ABOVE_ALL)
    }
    const value = await load(key)
    if (shared && value && looked && 'token' in looked) {
      const { version, goodUntil } = value
      shared.level.fill(key, looked.token, { version, goodUntil, bytes: shared.pack(value) })
    }
    return { value, isTruth: true }
  }

  const loadAboveFloor = async (key: string): Promise<V | undefined> => {
    for (let attempt = 1; ; attempt++) {
      // Of a change that was under way before anybody watched, nobody is told: what it missed is not kept.
      const isWatched = currentAsOf() !== undefined
      const begunIn = history
      const heardBefore = floors.heard(key)
      const { value, isTruth } = await obtain(key)
      // The load began after that was told: it shows it, or nobody's change had that version.
      if (value && isTruth && floors.heard(key) === heardBefore) floors.disprove(key)
      const isCurrent = begunIn === history && (!value || value.version >= floors.of(key))
      if (!isCurrent && attempt < MAX_LOADS) continue
      if (value && isCurrent) {
        if (isTruth) floors.raise(key, value.version)
        else floors.hear(key, value.version)
        if (isWatched) entries.set(key, value)
      }
      return value
    }
  }

  const join = (key: string): Flight<V> => {
    const running = flights.get(key)
    if (running) return running
    const value = loadAboveFloor(key).finally(() => {
      if (flights.get(key) === flight) flights.delete(key)
    })
    const flight = { value, startedAt: now() }
    flights.set(key, flight)
    return flight
  }

  /** What may answer while the truth is away. Looked up then: a write may have dropped it meanwhile. */
  const remembered = (key: string) => {
    const value = held(key)
    const silentMs = now() - (currentAsOf() ?? Number.NEGATIVE_INFINITY)
    if (!value || silentMs > maxStaleMs) return undefined
    return { value, ageSeconds: Math.ceil(silentMs / 1000) }
  }

  /** What is certain to be current. */
  const recall = (key: string): V | undefined => {
    const isTrusted = isTold() && (shared?.level.isHearing() ?? true)
    return isTrusted ? held(key) : undefined
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
    forget: () => entries.clear(),
    restart: () => {
      history++
      entries.clear()
      floors.clear()
      flights.clear()
    },
    figures: () => ({ entries: entries.size, bytes: entries.calculatedSize }),
    get: async (key) => {
      const current = recall(key)
      if (current) return { value: current }
      const entry = held(key)
      const flight = join(key)
      try {
        if (entry && !(await settlesWithin(flight.value, flight.startedAt + patienceMs - now()))) {
          const old = remembered(key)
          if (old) return old
        }
        const value = await flight.value
        return value && { value }
      } catch (error) {
        const old = isAppError(error, 'unavailable') ? remembered(key) : undefined
        if (!old) throw error
        return old
      }
    },
  }
}

function isGood({ goodUntil }: Versioned): boolean {
  return goodUntil === undefined || goodUntil > Date.now()
}
