// One connection to the shared cache, kept in step with the log of changes: only then is what it holds
// good for anything.
//
// From its first moment on every change that the log tells of is dropped from the cache through it. What
// was told before is caught up with: the cache itself knows the place in the log up to which it was
// served; all changes from there to the present are dropped once more, or, where that is not known,
// everything is. Then it is ready, and the place is moved on as the log is.

import { AppError } from '../errors.ts'
import { createAlarm } from '../lib/alarm.ts'
import type { Logger } from '../observability/logger.ts'
import type { CacheConnection, LogPosition } from './cache.ts'

/** The log of everything that changes what is cached. */
export interface ChangeLog {
  /** The place up to which this process was told of every change since it began; undefined while it does not know. */
  toldThrough(): LogPosition | undefined
  /** The same, once it covers whatever was committed before the call. Throws `unavailable`. */
  settledThrough(signal: AbortSignal): Promise<LogPosition>
  /** What changed between two places; undefined when that is not known any more, or is too much to tell. */
  between(from: LogPosition, through: LogPosition): Promise<readonly Change[] | undefined>
}

export interface Change {
  readonly key: string
  readonly version: number
}

export interface SharedSession {
  readonly on: CacheConnection
  /** Whatever is looked up in it is in step with the log. */
  isInStep(): boolean
  /** Tells it of a committed change. Never rejects: what it refuses puts it out of step. */
  send(how: 'drop' | 'announce', key: string, version: number): Promise<void>
  /** Puts it in step and keeps it there. Rejects once the signal is aborted, and `wake` was called. */
  follow(signal: AbortSignal): Promise<never>
  /** `follow` looks at once. */
  wake(): void
}

export interface SharedSessionOptions {
  on: CacheConnection
  /** What the operator calls the cache. */
  name: string
  changes: ChangeLog
  /** The place in it was put there by another database, whose changes nobody here is told of. */
  onAnother(): void
  log: Logger
}

const ADVANCE_EVERY_MS = 1_000
/** Another process may move the place on meanwhile, but hardly so often. */
const MOST_TRIES = 3

export function createSharedSession(options: SharedSessionOptions): SharedSession {
  const { on, name, changes, onAnother, log } = options
  const alarm = createAlarm()
  let isReady = false
  /** The last one that it was in step with. */
  let place: LogPosition | undefined
  /** Drops that it answered with no; what they were to take away may still be there. */
  let refusals = 0

  /** Whether every drop that was sent before was done: answers come in the order of questions. */
  const isServed = async (refusalsBefore: number, signal: AbortSignal): Promise<boolean> => {
    await on.ping()
    return !signal.aborted && refusals === refusalsBefore
  }

  const catchUp = async (signal: AbortSignal): Promise<void> => {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      signal.throwIfAborted()
      const refusalsBefore = refusals
      // It covers whatever was told before there was a connection to drop it through.
      const through = await changes.settledThrough(signal)
      const from = await on.place()
      // This log is still the same, and nobody with this log put it there.
      if (from && from.epoch !== through.epoch && place?.epoch === through.epoch) onAnother()
      const missed = from && (await changes.between(from, through))
      if (missed) await Promise.all(missed.map(({ key, version }) => on.drop(key, version)))
      else await on.flush()
      if ((await isServed(refusalsBefore, signal)) && (await on.advance(from, through))) {
        place = through
        isReady = refusals === refusalsBefore
        return
      }
    }
    throw new AppError('unavailable', 'The place up to which it was served is not kept.')
  }

  /** Moves the place on. False: the cache is not the one any more that was caught up with, or the log is not. */
  const keepUp = async (signal: AbortSignal): Promise<boolean> => {
    const refusalsBefore = refusals
    const told = changes.toldThrough()
    if (!told) return true
    const isSame = told.epoch === place?.epoch && (await isServed(refusalsBefore, signal))
    if (!isSame || !(await on.advance(place, told))) return false
    place = told
    return true
  }

  return {
    on,
    // A log that was restored tells of nothing that was lost: what is held may be that.
    isInStep: () => isReady && changes.toldThrough()?.epoch === place?.epoch,
    send: (how, key, version) =>
      on[how](key, version).catch(() => {
        refusals++
        isReady = false
        alarm.ring()
      }),
    follow: async (signal) => {
      let isTold = false
      for (;;) {
        try {
          if (isReady && !(await keepUp(signal))) isReady = false
          if (!isReady) await catchUp(signal)
          isTold = false
        } catch (error) {
          signal.throwIfAborted()
          // One that is full refuses to note the place: what it holds is right, the place only further back.
          if (!isTold) log.warn({ err: error }, `${name} cannot be kept in step`)
          isTold = true
        }
        await alarm.wait(ADVANCE_EVERY_MS)
        signal.throwIfAborted()
      }
    },
    wake: alarm.ring,
  }
}
