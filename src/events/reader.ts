// One process's reading of the log: what is new goes to listeners and to the followers of its product
// at once, what is decided to everybody else.

import type { Db } from '../database/database.ts'
import { createDispatch } from './dispatch.ts'
import { beginEpochAfterRestore } from './epoch.ts'
import type { LoggedEvent } from './events.ts'
import { createFeed, type EventFeed } from './feed.ts'
import { readLogState, selectEventsBetween } from './log.ts'
import type { Position } from './position.ts'
import { createTail, type Tail } from './tail.ts'

/** How the log stands after a look at it. `waiting`: for transactions under way; `moved`: and it goes on. */
export type Progress = 'settled' | 'moved' | 'waiting'

export interface Reader {
  /** Reads to the present end of the log. Throws `unavailable`; may be called again then. */
  read(): Promise<Progress>
  subscribe(listener: (event: LoggedEvent) => void, restarted?: () => void): Disposable
  /** `performance.now()` of the last time every committed event had been passed on; undefined until then. */
  currentAsOf(): number | undefined
  /** The place up to which every event since the reader began was passed on; undefined until that is known. */
  toldThrough(): Position | undefined
  delayMs(): number
  readonly feed: EventFeed
}

interface Listener {
  readonly heard: (event: LoggedEvent) => void
  readonly restarted: (() => void) | undefined
}

/** Decided events that are passed on from memory; when there are more, followers read the log at their own pace. */
const MOST_DECIDED = 1_000

export function createReader(db: Db): Reader {
  const dispatch = createDispatch()
  const listeners = new Set<Listener>()
  let tail: Tail | undefined
  let currentAsOf: number | undefined
  let told: Position | undefined
  /** Passed on to the followers of decided events, up to here. */
  let decided: Position | undefined

  const readState = async () => {
    // Before each look: another server may stand behind it, and none before need have failed.
    await beginEpochAfterRestore(db)
    const state = await readLogState(db)
    if (tail?.epoch !== state.epoch) {
      const isFirst = tail === undefined
      tail = createTail(db, state)
      currentAsOf = undefined
      told = undefined
      decided = undefined
      dispatch.rereadAll()
      if (!isFirst) for (const { restarted } of listeners) restarted?.()
    }
    return { state, tail }
  }
  const passOnNew = async (tail: Tail, lastId: number) => {
    const startedAt = performance.now()
    // What was under way at the start may be missing, and an event of the same product come after it.
    const before = tail.decidedThrough()
    const isWhole = before !== undefined
    for (let complete = false; !complete; ) {
      const found = await tail.readNew(lastId)
      for (const event of found.events) {
        for (const { heard } of listeners) heard(event)
        if (isWhole) dispatch.pushNew(event)
        else dispatch.rereadProduct(event.productId)
      }
      complete = found.complete
    }
    if (!isWhole) return
    currentAsOf = startedAt
    told = { epoch: tail.epoch, id: before }
  }
  const passOnDecided = async ({ epoch }: Tail, through: number) => {
    if (!decided) {
      decided = { epoch, id: through }
      dispatch.rereadAll()
      return
    }
    const range = { after: decided.id, through, limit: MOST_DECIDED + 1 }
    const events = dispatch.wantsDecided() ? await selectEventsBetween(db, range) : []
    decided = { epoch, id: through }
    if (events.length > MOST_DECIDED) dispatch.rereadDecided()
    else for (const event of events) dispatch.pushDecided(event)
  }
  return {
    currentAsOf: () => currentAsOf,
    toldThrough: () => told,
    delayMs: () => tail?.waitingMs() ?? 0,
    feed: createFeed({ db, dispatch, decided: () => decided }),
    subscribe: (heard, restarted) => {
      const listener = { heard, restarted }
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
    read: async () => {
      const before = decided?.id
      const { state, tail } = await readState()
      await passOnNew(tail, state.lastId)
      await tail.decide(state.lastId)
      const through = tail.decidedThrough()
      if (through !== undefined && through !== decided?.id) await passOnDecided(tail, through)
      if (through === state.lastId) return 'settled'
      return through === before ? 'waiting' : 'moved'
    },
  }
}
