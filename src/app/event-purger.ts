// Removes what is old from the event log, every ten minutes. Any number of nodes may run one.

import type { Database } from '../database/database.ts'
import { purgeEvents } from '../events/purge.ts'
import { openSchedule } from '../jobs/schedule.ts'
import type { Logger } from '../observability/logger.ts'

const EVERY_MS = 10 * 60_000

export interface EventPurgerOptions {
  database: Database
  /** How long an event is kept. */
  keepMs: number
  log: Logger
}

export function openEventPurger({ database, keepMs, log }: EventPurgerOptions): AsyncDisposable {
  return openSchedule({
    name: 'removing old events',
    everyMs: EVERY_MS,
    log,
    task: async (signal) => {
      const events = await purgeEvents(database.db, keepMs, signal)
      if (events > 0) log.info({ events }, 'old events were removed')
    },
  })
}
