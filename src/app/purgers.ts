// What is kept for a while only, and for how long.

import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { purgeEvents } from '../events/purge.ts'
import { purgeDone } from '../jobs/purge.ts'
import { openPurger } from '../jobs/purger.ts'
import type { LoggerOf } from '../observability/logger.ts'
import { purgeIdempotencyKeys } from '../products/idempotency-purge.ts'

const MINUTE_MS = 60_000

export interface PurgersOptions {
  config: Config
  database: Database
  logOf: LoggerOf
}

export function openPurgers({ config, database: { db }, logOf }: PurgersOptions): AsyncDisposable {
  const purgers = new AsyncDisposableStack()
  purgers.use(
    openPurger({
      what: 'done jobs',
      everyMs: 60 * MINUTE_MS,
      purge: (signal) => purgeDone(db, config.jobs.keepDoneMs, signal),
      log: logOf('jobs'),
    }),
  )
  purgers.use(
    openPurger({
      what: 'expired idempotency keys',
      everyMs: 10 * MINUTE_MS,
      purge: (signal) => purgeIdempotencyKeys(db, config.idempotencyKeepMs, signal),
      log: logOf('products'),
    }),
  )
  purgers.use(
    openPurger({
      what: 'old events',
      everyMs: 10 * MINUTE_MS,
      purge: (signal) => purgeEvents(db, config.events.keepMs, signal),
      log: logOf('events'),
    }),
  )
  return purgers
}
