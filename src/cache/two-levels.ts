// Where a value comes from that is not in memory: from the cache that processes share, while that is certain,
// else from the truth, whose answer then goes there.

import type { SharedEntry } from './cache.ts'
import type { SharedLevel } from './shared-level.ts'
import { isGood, type Versioned } from './versioned.ts'

/** The cache that this process shares with others, and how a value is kept there. */
export interface SharedBy<V> {
  readonly level: SharedLevel
  pack(value: V): Buffer
  /** Undefined for what was not packed for that key. */
  unpack(key: string, entry: SharedEntry): V | undefined
}

export interface TwoLevelsOptions<V> {
  /** The truth; undefined when there is none. */
  load(key: string): Promise<V | undefined>
  shared: SharedBy<V> | undefined
  /** Whether this process was told of every change just now: else the shared cache is passed by. */
  isTold(): boolean
  /** Nothing below it is taken from the shared cache. */
  floorOf(key: string): number
}

/** A value, and whether it is the truth's own answer. */
export interface Obtained<V> {
  readonly value: V | undefined
  readonly isTruth: boolean
}

/** Drops whatever is held. */
const ABOVE_ALL = Number.MAX_SAFE_INTEGER

/** What it returns obtains the value of a key; throws what `load` throws. */
export function createTwoLevels<V extends Versioned>(
  options: TwoLevelsOptions<V>,
): (key: string) => Promise<Obtained<V>> {
  const { load, shared, isTold, floorOf } = options
  return async (key) => {
    const looked = shared && isTold() ? await shared.level.look(key, floorOf(key)) : undefined
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
}
