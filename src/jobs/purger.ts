// Removes what is old, again and again. Any number of nodes may run the same one.

import type { Logger } from '../observability/logger.ts'
import { openSchedule } from './schedule.ts'

export interface PurgerOptions {
  /** For the log: `done jobs`. */
  what: string
  everyMs: number
  /** Removes what is old now, until there is no more of it; returns how many. */
  purge(signal: AbortSignal): Promise<number>
  log: Logger
}

/** Purges every `everyMs` until it is closed, which aborts what it is at. */
export function openPurger({ what, everyMs, purge, log }: PurgerOptions): AsyncDisposable {
  return openSchedule({
    name: `removing ${what}`,
    everyMs,
    log,
    task: async (signal) => {
      const removed = await purge(signal)
      if (removed > 0) log.info({ removed }, `${what} were removed`)
    },
  })
}
