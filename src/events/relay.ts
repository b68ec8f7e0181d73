// Tells this process of every committed change, its own and others', soon after the commit. There is one
// relay in a process, however many listen: it alone watches the log.
//
// Listeners hear at once and may hear of different products out of order, so they hold no more than a
// version to compare. The feed of one product is at once and in order; that of all products is in
// order up to what is decided, which a stranger's long transaction delays.

import { setTimeout as rest } from 'node:timers/promises'
import type { Database } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { createAlarm } from '../lib/alarm.ts'
import type { Logger } from '../observability/logger.ts'
import type { LoggedEvent } from './events.ts'
import type { EventFeed } from './feed.ts'
import type { Position } from './position.ts'
import { createReader } from './reader.ts'

export interface Relay extends AsyncDisposable {
  /**
   * Calls `listener` for each event that is committed from now on, at once, and `restarted` when another
   * epoch of the log began: versions seen before may be of changes that were lost. Neither may throw.
   */
  subscribe(listener: (event: LoggedEvent) => void, restarted?: () => void): Disposable
  /** `performance.now()` of the last time every committed event had been passed on; undefined until then. */
  currentAsOf(): number | undefined
  /** The place up to which every event since the relay began was passed on; undefined until that is known. */
  toldThrough(): Position | undefined
  /**
   * For the health report: `delay_ms` is how long the feed of all products has been waiting for
   * transactions that are still under way. Throws `unavailable` while the log cannot be read.
   */
  check(): Promise<{ delay_ms: number }>
  readonly feed: EventFeed
}

export interface RelayOptions {
  database: Database
  log: Logger
  /** Behind the signals, which may be lost. */
  pollMs?: number
}

/** Between two looks, whatever is told meanwhile: one of them sees hundreds of events at the price of one. */
const REST_MS = 20
/** Until the next look at whether transactions under way have ended; doubled each time, up to `pollMs`. */
const FIRST_WAIT_MS = 10

/** Starts reading at the log's present end; never rejects while it runs: an outage is retried. */
export function openRelay({ database, log, pollMs = 500 }: RelayOptions): Relay {
  const stopping = new AbortController()
  const alarm = createAlarm()
  const signal = database.signals.listen('events', alarm.ring)
  const reader = createReader(database.db)
  let failing = false
  let waits = 0

  /** Returns how long to pause. */
  const look = async (): Promise<number> => {
    try {
      const progress = await reader.read()
      if (failing) log.info('the event log can be read again')
      failing = false
      waits = progress === 'waiting' ? waits + 1 : 0
      return progress === 'settled' ? pollMs : Math.min(FIRST_WAIT_MS * 2 ** waits, pollMs)
    } catch (error) {
      if (!failing) {
        log.warn(
          { err: error },
          'the event log cannot be read: cached products are bypassed until it can',
        )
      }
      failing = true
      return pollMs
    }
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      const pauseMs = await look()
      await rest(REST_MS, undefined, { signal: stopping.signal }).catch(() => {})
      await alarm.wait(pauseMs)
    }
  }
  const running = run()
  return {
    subscribe: reader.subscribe,
    currentAsOf: reader.currentAsOf,
    toldThrough: reader.toldThrough,
    check: async () => {
      if (failing) throw new AppError('unavailable', 'The event log cannot be read.')
      return { delay_ms: Math.round(reader.delayMs()) }
    },
    feed: reader.feed,
    [Symbol.asyncDispose]: async () => {
      signal[Symbol.dispose]()
      stopping.abort()
      alarm.ring()
      await running
    },
  }
}
