// Opening the database at start, when it may still be starting itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { isAppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import type { Database } from './database.ts'
import { type DatabaseOptions, openDatabase } from './open.ts'

export interface WaitOptions {
  timeoutMs: number
  log: Pick<Logger, 'info' | 'warn'>
  signal?: AbortSignal
  /** Between attempts. */
  everyMs?: number
}

/**
 * Opens the database, trying again once a second while it is `unavailable`, and saying so each time.
 * Throws an Error for the operator: at once when waiting cannot help (a wrong password, an unknown
 * database, a folder in use), else when the time is up. Rejects with the signal's reason when aborted.
 */
export async function waitForDatabase(
  options: DatabaseOptions,
  { timeoutMs, log, signal, everyMs = 1_000 }: WaitOptions,
): Promise<Database> {
  const startedAt = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await openDatabase(options.engine === 'postgres' ? { ...options, log } : options)
    } catch (error) {
      if (!isAppError(error, 'unavailable')) throw error
      const waitedMs = performance.now() - startedAt
      if (waitedMs + everyMs > timeoutMs) throw gaveUp(error, waitedMs)
      const left = Math.round((timeoutMs - waitedMs) / 1_000)
      log.warn(`${error.message}; trying again for ${left} s`)
      await sleep(everyMs, undefined, { signal }).catch(() => {})
    }
  }
}

function gaveUp(error: Error, waitedMs: number): Error {
  return new Error(
    `${error.message}; gave up after ${Math.round(waitedMs / 1_000)} s: check that the server runs, and its host, port, database and user`,
    { cause: error },
  )
}
