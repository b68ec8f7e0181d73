// The growing end of the log, read for everybody in this process. Two questions have two answers: what
// is new is known at once, with the ids that were skipped kept as holes and asked for again; what is
// decided, so that nothing can come before it any more, is known once a fence has passed.

import type { Db } from '../database/database.ts'
import type { LoggedEvent } from './events.ts'
import { type Fence, hasPassed, raiseFence } from './fence.ts'
import { createHoles } from './holes.ts'
import { type LogState, selectNewEvents } from './log.ts'

export interface Tail {
  readonly epoch: string
  /**
   * What was committed since the last call and was not there when the tail began; events of one product
   * in order. Not complete when there may be more already.
   */
  readNew(lastId: number): Promise<{ events: LoggedEvent[]; complete: boolean }>
  /** Moves `decidedThrough` on if it can be. `lastId` is the highest id drawn so far. */
  decide(lastId: number): Promise<void>
  /** Undefined until what was under way when the tail began is decided. */
  decidedThrough(): number | undefined
  /** How long a fence has been waiting for transactions older than itself; 0 when none is. */
  waitingMs(): number
}

const BATCH = 5_000
/** A fence looks through the server's locks, 0.4 ms, however many events it decides. */
const FENCE_EVERY_MS = 25

/** Begins at the log's present end, `state`. */
export function createTail(db: Db, state: LogState): Tail {
  const holes = createHoles()
  /** What is new or late starts here: ids drawn shortly before may be of transactions under way. */
  let last = Math.max(state.purgedThrough, state.lastId - BATCH)
  let began = false
  let decided: number | undefined
  let fence: Fence | undefined
  let raisedAt = Number.NEGATIVE_INFINITY

  const note = (id: number) => {
    if (id < last) holes.fill(id)
    else holes.skip(last, id)
    last = Math.max(last, id)
  }
  return {
    epoch: state.epoch,
    decidedThrough: () => decided,
    waitingMs: () => (fence ? performance.now() - raisedAt : 0),
    readNew: async (lastId) => {
      if (began && lastId === last && holes.ranges.length === 0) {
        return { events: [], complete: true }
      }
      // Gone for good only if this read began after they were decided.
      const gone = decided ?? 0
      const found = await selectNewEvents(db, { last, holes: holes.ranges, limit: BATCH })
      for (const { id } of found) note(id)
      holes.forgetThrough(gone)
      const events = began ? found : found.filter(({ id }) => id > state.lastId)
      began = true
      return { events, complete: found.length < BATCH }
    },
    decide: async (lastId) => {
      const due = performance.now() - raisedAt >= FENCE_EVERY_MS
      if (!fence && lastId > (decided ?? -1) && due) {
        fence = await raiseFence(db, lastId)
        raisedAt = performance.now()
      }
      if (!fence || !(await hasPassed(db, fence))) return
      decided = fence.id
      fence = undefined
    },
  }
}
