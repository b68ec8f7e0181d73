// The event log as those outside follow it: a place to begin at, and what happened after a place.

import { addAbortListener } from 'node:events'
import type { Db } from '../database/database.ts'
import type { Dispatch, Scope } from './dispatch.ts'
import type { LoggedEvent } from './events.ts'
import { createInbox, follow, MOST_EVENTS } from './follow.ts'
import { type LogPage, readAllEvents, readProductEvents } from './log.ts'
import type { Position } from './position.ts'

export interface EventFeed {
  /** A place up to which everything is decided. Waits for one; undefined when `signal` aborted. */
  position(signal: AbortSignal): Promise<Position | undefined>
  /** One look at what the log holds after a place. Throws `unavailable`. */
  read(scope: Scope, after: Position): Promise<LogPage>
  /**
   * Yields every event of the scope after `start` once, in the order of ids; `lost` as its last word
   * when the log does not reach back to there. A slow consumer costs no memory. Ends when `signal`
   * aborts; throws `unavailable`.
   */
  follow(
    scope: Scope,
    options: { start: Position; signal: AbortSignal },
  ): AsyncGenerator<readonly LoggedEvent[] | 'lost'>
}

export interface FeedOptions {
  db: Db
  dispatch: Dispatch
  /** How far the log is decided and passed on; undefined while that is not known. */
  decided(): Position | undefined
}

export function createFeed({ db, dispatch, decided }: FeedOptions): EventFeed {
  const read = (scope: Scope, after: Position): Promise<LogPage> => {
    if ('productId' in scope) {
      return readProductEvents(db, scope.productId, { after, limit: MOST_EVENTS })
    }
    // Until it is known what is decided, only whether the log reaches back.
    const through = decided()?.id ?? after.id
    return readAllEvents(db, { after, through, limit: MOST_EVENTS, userId: scope.userId })
  }
  return {
    read,
    follow: (scope, options) => follow({ dispatch, read }, scope, options),
    position: async (signal) => {
      const inbox = createInbox()
      using _subscription = dispatch.add({ userId: undefined }, inbox)
      using _waking = addAbortListener(signal, inbox.ring)
      for (;;) {
        const position = decided()
        if (position || signal.aborted) return position
        await inbox.rung()
      }
    },
  }
}
