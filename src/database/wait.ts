// Opening the database at start, when it may still be starting itself.

import { isAppError } from '../errors.ts'
import { openPatiently } from '../lib/open-patiently.ts'
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
  const open = () => openDatabase(options.engine === 'postgres' ? { ...options, log } : options)
  return await openPatiently(open, {
    timeoutMs,
    everyMs,
    signal,
    mayPass: (error) => isAppError(error, 'unavailable'),
    onWait: ({ message }, seconds) => log.warn(`${message}; trying again for ${seconds} s`),
    gaveUp,
  })
}

function gaveUp(error: Error, seconds: number): Error {
  return new Error(
    `${error.message}; gave up after ${seconds} s: check that the server runs, and its host, port, database and user`,
    { cause: error },
  )
}
