// One connection to the shared cache after another, now and for ever: the next is opened when one is over,
// after pauses that grow while it does not last.

import { isAppError } from '../errors.ts'
import { createBackoff } from '../lib/backoff.ts'
import type { Logger } from '../observability/logger.ts'
import type { CacheConnection, SharedCache } from './cache.ts'

export interface KeepConnectedOptions {
  cache: SharedCache
  heard(key: string, version: number): void
  /** Settles when the connection is of no use any more, soon after the signal is aborted; it is closed then. */
  use(on: CacheConnection): Promise<void>
  log: Logger
  signal: AbortSignal
}

export interface KeptConnected {
  /**
   * Resolves after the first try to connect, also when the cache is away. Rejects with an Error for the
   * operator when it refuses this process, which then tries no more.
   */
  readonly firstContact: Promise<void>
  /** Resolves once the signal was aborted and the last connection is closed, or no more is tried. Never rejects. */
  readonly ended: Promise<void>
}

/** A connection that ended sooner was none: the pauses go on growing, and nothing is said again. */
const LASTING_MS = 5_000
const RECONNECT = { firstMs: 100, longestMs: 2_000 }

export function keepConnected(options: KeepConnectedOptions): KeptConnected {
  const { cache, heard, use, log, signal } = options
  const contact = Promise.withResolvers<void>()
  contact.promise.catch(() => {}) // for who does not ask
  let isFirstTry = true

  const useNext = async () => {
    await using on = await cache.connect(heard)
    isFirstTry = false
    contact.resolve()
    log.info(`${cache.name} is connected`)
    await use(on)
  }
  const run = async () => {
    const backoff = createBackoff({ ...RECONNECT, signal })
    while (!signal.aborted) {
      const startedAt = performance.now()
      const error = await useNext().catch((cause: unknown) => cause)
      if (signal.aborted) return
      if (isFirstTry && !isAppError(error, 'unavailable')) return contact.reject(error)
      isFirstTry = false
      contact.resolve()
      if (performance.now() - startedAt > LASTING_MS) backoff.reset()
      if (backoff.isFresh)
        log.warn({ err: error }, `${cache.name} is away: products are read from the database`)
      await backoff.pause()
    }
  }
  return { firstContact: contact.promise, ended: run().finally(contact.resolve) }
}
