// Loads under way, one for each key: whoever asks meanwhile waits for the same one. A load that comes back
// below the floor of its key began before a write, and is repeated; only what is current is kept.

import type { Floors } from './floors.ts'
import type { Obtained } from './two-levels.ts'
import type { Versioned } from './versioned.ts'

export interface FlightsOptions<V> {
  obtain(key: string): Promise<Obtained<V>>
  floors: Floors
  /** Whether this process knows of changes at all. */
  isWatching(): boolean
  /** What is current goes into memory. */
  keep(key: string, value: V): void
  now(): number
}

export interface Flight<V> {
  readonly value: Promise<V | undefined>
  /** By `now()`. */
  readonly startedAt: number
}

export interface Flights<V> {
  /** The load of the key that is under way, else one that begins. */
  join(key: string): Flight<V>
  /** Whoever joins from now on must see another version; a load that has begun may not. */
  outdate(key: string): void
  /** Another history of the truth began: nobody joins what is under way, and nothing of it is kept. */
  restart(): void
}

/** A repeated load starts after the write it missed was committed, so the second already sees it. */
const MAX_LOADS = 3

export function createFlights<V extends Versioned>(options: FlightsOptions<V>): Flights<V> {
  const { obtain, floors, isWatching, keep, now } = options
  const flights = new Map<string, Flight<V>>()
  /** How many histories of the truth there have been. */
  let history = 0

  const loadAboveFloor = async (key: string): Promise<V | undefined> => {
    for (let attempt = 1; ; attempt++) {
      // Of a change that was under way before anybody watched, nobody is told: what it missed is not kept.
      const isWatched = isWatching()
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
        if (isWatched) keep(key, value)
      }
      return value
    }
  }

  return {
    join: (key) => {
      const running = flights.get(key)
      if (running) return running
      const value = loadAboveFloor(key).finally(() => {
        if (flights.get(key) === flight) flights.delete(key)
      })
      const flight = { value, startedAt: now() }
      flights.set(key, flight)
      return flight
    },
    outdate: (key) => void flights.delete(key),
    restart: () => {
      history++
      flights.clear()
    },
  }
}
