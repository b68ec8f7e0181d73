// How long an answer of the shared cache is worth waiting for. One that is slower than what it spares is
// not asked any more, until it is quick again.

import { settlesWithin } from '../lib/deadline.ts'

/** On the same network a look takes well under a millisecond; the database answers in a few. */
const PATIENCE_MS = 50
/** This many answers in a row that took too long, and no more is asked. */
const MOST_LATE = 3

export interface Quickness {
  /** Waits for the answer no longer than it is worth; false when it comes too late. Rejects as the answer does in time. */
  awaits(answer: Promise<unknown>): Promise<boolean>
  isSlow(): boolean
  /** Another connection: nothing is known of it. */
  forget(): void
}

export function createQuickness(): Quickness {
  /** Answers in a row that came too late. */
  let late = 0
  return {
    awaits: async (answer) => {
      const askedAt = performance.now()
      let isInTime = await settlesWithin(answer, PATIENCE_MS)
      // Time in which this process was busy is not the cache's: the answer may have come long ago.
      if (!isInTime) {
        const busyMs = performance.now() - askedAt - PATIENCE_MS
        isInTime = await settlesWithin(answer, busyMs)
      }
      late = isInTime ? 0 : late + 1
      return isInTime
    },
    isSlow: () => late >= MOST_LATE,
    forget: () => {
      late = 0
    },
  }
}
