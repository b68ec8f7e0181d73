// Opening the storage at start, when it may still be starting itself.

import { type AppError, isAppError } from '../errors.ts'
import { openPatiently } from '../lib/open-patiently.ts'
import type { Logger } from '../observability/logger.ts'
import { openStorage, type StorageOptions } from './open.ts'
import type { Storage } from './storage.ts'

export interface WaitOptions {
  timeoutMs: number
  log: Pick<Logger, 'warn'>
  signal?: AbortSignal
  /** Between attempts. */
  everyMs?: number
}

/**
 * Opens the storage, trying again once a second while S3 cannot be reached, and saying so each time. Throws
 * an Error for the operator: at once when waiting cannot help, else when the time is up. Rejects with the
 * signal's reason when aborted.
 */
export async function waitForStorage(
  options: StorageOptions,
  { timeoutMs, log, signal, everyMs = 1_000 }: WaitOptions,
): Promise<Storage> {
  // What a folder is refused for does not pass.
  const mayPass = (error: unknown): error is AppError =>
    options.kind !== 'filesystem' && isAppError(error, 'storage_failed')
  return await openPatiently(() => openStorage(options), {
    timeoutMs,
    everyMs,
    signal,
    mayPass,
    onWait: ({ message }, seconds) => log.warn(`${message} Trying again for ${seconds} s.`),
    gaveUp,
  })
}

function gaveUp(error: Error, seconds: number): Error {
  return new Error(
    `${error.message} Gave up after ${seconds} s: check S3_ENDPOINT and the network.`,
    { cause: error },
  )
}
