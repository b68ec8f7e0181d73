// Removes done jobs once an hour. Any number of nodes may run one.

import type { Database } from '../database/database.ts'
import type { Logger } from '../observability/logger.ts'
import { purgeDone } from './purge.ts'
import { openSchedule } from './schedule.ts'

const EVERY_MS = 60 * 60_000

export interface PurgerOptions {
  database: Database
  keepDoneMs: number
  log: Logger
}

export function openPurger({ database, keepDoneMs, log }: PurgerOptions): AsyncDisposable {
  return openSchedule({
    name: 'removing done jobs',
    everyMs: EVERY_MS,
    log,
    task: async (signal) => {
      const jobs = await purgeDone(database.db, keepDoneMs, signal)
      if (jobs > 0) log.info({ jobs }, 'done jobs were removed')
    },
  })
}
