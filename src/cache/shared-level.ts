// The shared cache as one process uses it: connected again whenever it is lost, asked only while it is in
// step with the log of changes, and not while it is slower than it is worth. Nobody needs what is not there.

import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../errors.ts'
import { settlesWithin } from '../lib/deadline.ts'
import type { Logger } from '../observability/logger.ts'
import type { CacheConnection, Looked, SharedCache, SharedEntry } from './cache.ts'
import { keepConnected } from './keep-connected.ts'
import { createQuickness, type Quickness } from './quickness.ts'
import { type ChangeLog, createSharedSession, type SharedSession } from './shared-session.ts'

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

const PING_EVERY_MS = 500
/** A connection that does not answer a ping for so long is taken for lost. */
const SILENCE_MS = 3_000

/** Connects in the background, now and for ever. */
export function openSharedLevel({ cache, changes, log }: SharedLevelOptions): SharedLevel {
  const stopping = new AbortController()
  const listeners = new Set<SharedLevelListener>()
  const quickness = createQuickness()
  const onAnother = once(() =>
    log.warn(`another database shares ${cache.name}: give each a CACHE_PREFIX of its own`),
  )
  /** While there is a connection. */
  let session: SharedSession | undefined
  const usable = () => (session?.isInStep() && !quickness.isSlow() ? session.on : undefined)

  const connected = keepConnected({
    cache,
    heard: (key, version) => {
      for (const listener of listeners) listener.heard(key, version)
    },
    use: async (on) => {
      using over = endOf(stopping.signal)
      const { signal } = over
      const current = createSharedSession({ on, name: cache.name, changes, onAnother, log })
      session = current
      quickness.forget()
      for (const listener of listeners) listener.regained()
      try {
        const stopped = new Promise((resolve) => signal.addEventListener('abort', resolve))
        const ends = [silent(on, quickness, signal), current.follow(signal)]
        await Promise.race([on.ended, stopped, ...ends])
      } finally {
        session = undefined
        current.wake()
      }
    },
    log,
    signal: stopping.signal,
  })
  return {
    look: async (key, floor) => {
      const looked = usable()
        ?.look(key, floor)
        .catch(() => undefined)
      return looked && (await quickness.awaits(looked)) ? looked : undefined
    },
    fill: (key, token, entry) =>
      void usable()
        ?.fill(key, token, entry)
        .catch(() => {}),
    announce: async (key, version) => {
      const sent = session?.send('announce', key, version)
      if (sent && !quickness.isSlow()) await quickness.awaits(sent)
    },
    drop: (key, version) => void session?.send('drop', key, version),
    subscribe: (listener) => void listeners.add(listener),
    isHearing: () => session !== undefined,
    check: async () => {
      const trouble = troubleOf(session, quickness.isSlow())
      if (trouble) throw new AppError('unavailable', trouble)
      await session?.on.ping()
    },
    firstContact: connected.firstContact,
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      await connected.ended
    },
  }
}

/** Resolves once the connection has been silent for too long. */
async function silent(on: CacheConnection, quickness: Quickness, signal: AbortSignal) {
  for (;;) {
    const ping = on.ping()
    if (!(await quickness.awaits(ping)) && !(await settlesWithin(ping, SILENCE_MS))) return
    await sleep(PING_EVERY_MS, undefined, { signal })
  }
}

function troubleOf(session: SharedSession | undefined, isSlow: boolean): string | undefined {
  if (!session) return 'The shared cache cannot be reached.'
  if (isSlow) return 'The shared cache answers too slowly, and is left alone.'
  return session.isInStep() ? undefined : 'The shared cache is not in step yet, and is left alone.'
}

/** What does it the first time only. */
function once(act: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) act()
    isDone = true
  }
}

/** A signal that aborts with another, and at the end of the block. */
function endOf(outer: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const over = new AbortController()
  const signal = AbortSignal.any([outer, over.signal])
  return { signal, [Symbol.dispose]: () => over.abort() }
}
