// Opening the storage at start, when it may still be starting itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { isAppError } from '../errors.ts'
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
  const startedAt = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await openStorage(options)
    } catch (error) {
      // What a folder is refused for does not pass.
      if (options.kind === 'filesystem' || !isAppError(error, 'storage_failed')) throw error
      const waitedMs = performance.now() - startedAt
      if (waitedMs + everyMs > timeoutMs) throw gaveUp(error, waitedMs)
      const left = Math.round((timeoutMs - waitedMs) / 1_000)
      log.warn(`${error.message} Trying again for ${left} s.`)
      await sleep(everyMs, undefined, { signal }).catch(() => {})
    }
  }
}

function gaveUp(error: Error, waitedMs: number): Error {
  const seconds = Math.round(waitedMs / 1_000)
  return new Error(
    `${error.message} Gave up after ${seconds} s: check S3_ENDPOINT and the network.`,
    {
      cause: error,
    },
  )
}
