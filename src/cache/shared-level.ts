// The shared cache as one process uses it. It is connected again whenever it is lost; what it holds is
// used only once it is in step with the log of changes, and not while it is slower than it is worth.
//
// From a connection's first moment on every change that the log tells of is dropped from the cache
// through it. What was told before is caught up with: the cache itself knows the place in the log up to
// which it was served; all changes from there to the present are dropped once more, or, where that is not
// known, everything is. Then it is ready, and the place is moved on as the log is.

import { setTimeout as sleep } from 'node:timers/promises'
import { AppError, isAppError } from '../errors.ts'
import { type Alarm, createAlarm } from '../lib/alarm.ts'
import { settlesWithin } from '../lib/deadline.ts'
import type { Logger } from '../observability/logger.ts'
import type { CacheConnection, Looked, Place, SharedCache, SharedEntry } from './cache.ts'

/** The log of everything that changes what is cached. */
export interface ChangeLog {
  /** The place up to which this process was told of every change since it began; undefined while it does not know. */
  toldThrough(): Place | undefined
  /** The same, once it covers whatever was committed before the call. Throws `unavailable`. */
  settledThrough(signal: AbortSignal): Promise<Place>
  /** What changed between two places; undefined when that is not known any more, or is too much to tell. */
  between(from: Place, through: Place): Promise<readonly Change[] | undefined>
}

export interface Change {
  readonly key: string
  readonly version: number
}

export interface SharedLevelListener {
  /** Another process, or this one, announces a change. */
  heard(key: string, version: number): void
  /** Announcements are heard from now on: what is remembered from before may have missed some. */
  regained(): void
}

export interface SharedLevel extends AsyncDisposable {
  /** What is held, or a token; undefined: not to be had at the moment. Never rejects, and soon resolves. */
  look(key: string, floor: number): Promise<Looked | undefined>
  /** Goes on by itself; nothing is lost when it fails. */
  fill(key: string, token: string, entry: SharedEntry): void
  /** A committed change of this process's own. Resolves when the cache has it, or does not answer soon. Never rejects. */
  announce(key: string, version: number): Promise<void>
  /** A committed change, from the log. */
  drop(key: string, version: number): void
  subscribe(listener: SharedLevelListener): void
  /** Announcements reach this process: else it must not trust its memory. */
  isHearing(): boolean
  /** Resolves when the cache answers; throws `unavailable` with the reason while it is of no use. */
  check(): Promise<void>
  /**
   * Resolves after the first try to connect, also when the cache is away. Rejects with an Error for the
   * operator when it refuses this process, which then tries no more.
   */
  readonly firstContact: Promise<void>
}

export interface SharedLevelOptions {
  cache: SharedCache
  changes: ChangeLog
  log: Logger
}

/** On the same network a look takes well under a millisecond; the database answers in a few. */
const PATIENCE_MS = 50
const PING_EVERY_MS = 500
/** A connection that does not answer a ping for so long is taken for lost. */
const SILENCE_MS = 3_000
/** This many answers in a row that took too long, and no more is asked until a ping is quick again. */
const MOST_LATE = 3
const ADVANCE_EVERY_MS = 1_000
/** Another process may move the place on meanwhile, but hardly so often. */
const MOST_TRIES = 3
/** A connection that ended sooner was none: the pauses go on growing, and nothing is said again. */
const LASTING_MS = 5_000
const RECONNECT_MS = { first: 100, most: 2_000 }

/** One connection, from its first moment to its last. */
interface Session {
  readonly on: CacheConnection
  readonly alarm: Alarm
  /** Everything that is looked up in it is in step with the log of `place`. */
  isReady: boolean
  /** The last one that it was in step with. */
  place: Place | undefined
  /** Drops that it answered with no; what they were to take away may still be there. */
  refusals: number
}

/** Connects in the background, now and for ever: nobody needs what is not there. */
export function openSharedLevel({ cache, changes, log }: SharedLevelOptions): SharedLevel {
  const stopping = new AbortController()
  const listeners = new Set<SharedLevelListener>()
  const contact = Promise.withResolvers<void>()
  contact.promise.catch(() => {}) // for who does not ask
  let isFirstTry = true
  let session: Session | undefined
  /** Answers in a row that came too late. */
  let late = 0

  /** A log that was restored tells of nothing that was lost: what is held may be that. */
  const isInStep = ({ isReady, place }: Session) =>
    isReady && changes.toldThrough()?.epoch === place?.epoch
  const usable = () => (session && isInStep(session) && late < MOST_LATE ? session.on : undefined)
  const isQuick = async (answer: Promise<unknown>): Promise<boolean> => {
    const askedAt = performance.now()
    let inTime = await settlesWithin(answer, PATIENCE_MS)
    // Time in which this process was busy is not the cache's: the answer may have come long ago.
    if (!inTime) inTime = await settlesWithin(answer, performance.now() - askedAt - PATIENCE_MS)
    late = inTime ? 0 : late + 1
    return inTime
  }
  const send = (how: 'drop' | 'announce', key: string, version: number) => {
    const through = session
    return through?.on[how](key, version).catch(() => {
      through.refusals++
      through.isReady = false
      through.alarm.ring()
    })
  }
  /** Resolves to whether every drop that was sent before was done: answers come in the order of questions. */
  const isServed = async ({ on }: Session, refusals: number) => {
    await on.ping()
    return session?.on === on && session.refusals === refusals
  }

  let isWarned = false
  const warnOfAnother = () => {
    if (!isWarned)
      log.warn(`another database shares ${cache.name}: give each a CACHE_PREFIX of its own`)
    isWarned = true
  }

  const catchUp = async (current: Session, signal: AbortSignal): Promise<void> => {
    const { on } = current
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      signal.throwIfAborted()
      const { refusals } = current
      // It covers whatever was told before there was a connection to drop it through.
      const through = await changes.settledThrough(signal)
      const from = await on.place()
      if (from && isAnothers(from, through, current)) warnOfAnother()
      const missed = from && (await changes.between(from, through))
      if (missed) await Promise.all(missed.map(({ key, version }) => on.drop(key, version)))
      else await on.flush()
      if ((await isServed(current, refusals)) && (await on.advance(from, through))) {
        current.place = through
        current.isReady = current.refusals === refusals
        return
      }
    }
    throw new AppError('unavailable', 'The place up to which it was served is not kept.')
  }
  /** Moves the place on. False: the cache is not the one any more that was caught up with, or the log is not. */
  const keepUp = async (current: Session): Promise<boolean> => {
    const { refusals, place } = current
    const told = changes.toldThrough()
    if (!told) return true
    const isSame = told.epoch === place?.epoch && (await isServed(current, refusals))
    if (!isSame || !(await current.on.advance(place, told))) return false
    current.place = told
    return true
  }
  const follow = async (current: Session, signal: AbortSignal): Promise<never> => {
    let isTold = false
    for (;;) {
      try {
        if (current.isReady && !(await keepUp(current))) current.isReady = false
        if (!current.isReady) await catchUp(current, signal)
        isTold = false
      } catch (error) {
        signal.throwIfAborted()
        // One that is full refuses to note the place: what it holds is right, the place only further back.
        if (!isTold) log.warn({ err: error }, `${cache.name} cannot be kept in step`)
        isTold = true
      }
      await current.alarm.wait(ADVANCE_EVERY_MS)
      signal.throwIfAborted()
    }
  }
  /** Resolves once the connection has been silent for too long. */
  const watch = async ({ on }: Session, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const ping = on.ping()
      if (!(await isQuick(ping)) && !(await settlesWithin(ping, SILENCE_MS))) return
      await sleep(PING_EVERY_MS, undefined, { signal })
    }
  }
  const serve = async () => {
    await using on = await cache.connect((key, version) => {
      for (const listener of listeners) listener.heard(key, version)
    })
    using over = endOf(stopping.signal)
    const current = { on, alarm: createAlarm(), isReady: false, place: undefined, refusals: 0 }
    session = current
    late = 0
    isFirstTry = false
    contact.resolve()
    for (const listener of listeners) listener.regained()
    log.info(`${cache.name} is connected`)
    try {
      const stopped = new Promise((resolve) => over.signal.addEventListener('abort', resolve))
      const ends = [watch(current, over.signal), follow(current, over.signal)]
      await Promise.race([on.ended, stopped, ...ends])
    } finally {
      session = undefined
      current.alarm.ring()
    }
  }
  const run = async () => {
    for (let failures = 0; !stopping.signal.aborted; failures++) {
      const startedAt = performance.now()
      const error = await serve().catch((cause: unknown) => cause)
      if (stopping.signal.aborted) return
      if (isFirstTry && !isAppError(error, 'unavailable')) return contact.reject(error)
      isFirstTry = false
      contact.resolve()
      if (performance.now() - startedAt > LASTING_MS) failures = 0
      if (failures === 0)
        log.warn({ err: error }, `${cache.name} is away: products are read from the database`)
      const pauseMs = Math.min(RECONNECT_MS.first * 2 ** failures, RECONNECT_MS.most)
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const running = run().finally(contact.resolve)
  return {
    look: async (key, floor) => {
      const on = usable()
      const looked = on?.look(key, floor).catch(() => undefined)
      return looked && (await isQuick(looked)) ? looked : undefined
    },
    fill: (key, token, entry) =>
      void usable()
        ?.fill(key, token, entry)
        .catch(() => {}),
    announce: async (key, version) => {
      const sent = send('announce', key, version)
      if (sent && late < MOST_LATE) await isQuick(sent)
    },
    drop: (key, version) => void send('drop', key, version),
    subscribe: (listener) => void listeners.add(listener),
    isHearing: () => session !== undefined,
    check: async () => {
      const trouble = troubleOf(session && { isInStep: isInStep(session), late })
      if (trouble) throw new AppError('unavailable', trouble)
      await session?.on.ping()
    },
    firstContact: contact.promise,
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      await running
    },
  }
}

function troubleOf(reached?: { isInStep: boolean; late: number }): string | undefined {
  if (!reached) return 'The shared cache cannot be reached.'
  if (reached.late >= MOST_LATE) return 'The shared cache answers too slowly, and is left alone.'
  return reached.isInStep ? undefined : 'The shared cache is not in step yet, and is left alone.'
}

/** Whether the place is of another log, though this one is still the same: nobody with this log put it there. */
function isAnothers(found: Place, through: Place, { place }: Session): boolean {
  return found.epoch !== through.epoch && place?.epoch === through.epoch
}

/** A signal that aborts with another, and at the end of the block. */
function endOf(outer: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const over = new AbortController()
  const signal = AbortSignal.any([outer, over.signal])
  return { signal, [Symbol.dispose]: () => over.abort() }
}
