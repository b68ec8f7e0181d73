// Following the log from a place on: first what it holds, batch by batch as fast as they are taken, then
// what comes. A follower that is slower than what comes keeps a few of them at most and goes back
// to reading the log, so that nothing is lost and nothing piles up.

import { addAbortListener } from 'node:events'
import type { Dispatch, Scope, Subscriber } from './dispatch.ts'
import type { LoggedEvent } from './events.ts'
import type { LogPage } from './log.ts'
import type { Position } from './position.ts'

/** Events that wait for one follower at most, and that are read for it at a time: some 80 KB as text. */
export const MOST_EVENTS = 200

export interface FollowOptions {
  dispatch: Dispatch
  /** The log from a place on, as far as this scope may see it now. */
  read(scope: Scope, after: Position): Promise<LogPage>
}

/**
 * Yields every event of the scope after `start` once, in the order of ids; `lost` as its last word when
 * the log does not reach back to there. Ends when `signal` aborts; throws what reading throws.
 */
export async function* follow(
  { dispatch, read }: FollowOptions,
  scope: Scope,
  { start, signal }: { start: Position; signal: AbortSignal },
): AsyncGenerator<readonly LoggedEvent[] | 'lost'> {
  const inbox = createInbox()
  using _subscription = dispatch.add(scope, inbox)
  using _waking = addAbortListener(signal, inbox.ring)
  let after = start
  while (!signal.aborted) {
    if (inbox.beginReading()) {
      const page = await read(scope, after)
      if (page.lost) {
        yield 'lost'
        return
      }
      after = { ...after, id: page.readThrough }
      if (page.complete) inbox.endReading()
      if (page.events.length > 0) yield page.events
    } else {
      const { id } = after
      const events = inbox.take().filter((event) => event.id > id)
      const last = events.at(-1)
      if (last) {
        after = { ...after, id: last.id }
        yield events
      } else await inbox.rung()
    }
  }
}

/** What has come and was not taken yet; or, when that is not all, the knowledge that the log must be read. */
interface Inbox extends Subscriber {
  /** True when the log must be read. */
  beginReading(): boolean
  /** The log was read to its end: what comes from now on is kept, unless something came meanwhile. */
  endReading(): void
  take(): LoggedEvent[]
  ring(): void
  /** Resolves after the next ring, or the last one that nobody waited for. */
  rung(): Promise<void>
}

/** An inbox of its own for each follower. */
export function createInbox(): Inbox {
  let queue: LoggedEvent[] = []
  let behind = true
  let missed = false
  let bell = Promise.withResolvers<void>()
  const fallBehind = () => {
    queue = []
    behind = true
    missed = true
  }
  return {
    push: (event) => {
      if (behind || queue.length === MOST_EVENTS) fallBehind()
      else queue.push(event)
      bell.resolve()
    },
    reread: () => {
      fallBehind()
      bell.resolve()
    },
    beginReading: () => {
      missed = false
      return behind
    },
    endReading: () => {
      behind = missed
    },
    take: () => queue.splice(0),
    ring: () => bell.resolve(),
    rung: async () => {
      await bell.promise
      bell = Promise.withResolvers()
    },
  }
}
