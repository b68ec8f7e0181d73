// The ledger as its own queue: announcing a job has marked its row, so listeners only need to look.
// Woken by a signal (in process, NOTIFY) and polled behind it. Several processes may hear the same
// bell; the claim decides between them.

import { sql } from 'kysely'
import type { Database, Db } from '../database/database.ts'
import { createAlarm } from '../lib/alarm.ts'
import type { Logger } from '../observability/logger.ts'
import type { BellHandler, Queue } from './queue.ts'

export interface PostgresQueueOptions {
  /** The one with the ledger; the embedded engine too. */
  database: Database
  log: Logger
  /** Behind the signals, which may be lost. */
  pollMs?: number
}

/** A bell that was answered in vain is not heard again at once: the row may be about to change. */
const QUIET_MS = 250

export function openPostgresQueue({ database, log, pollMs = 500 }: PostgresQueueOptions): Queue {
  return {
    announce: async () => database.signals.send('bells'),
    listen: async (handler, options) => {
      const listener = createListener({ ...options, db: database.db, handler, pollMs, log })
      using _woken = database.signals.listen('bells', listener.wake)
      await listener.run()
    },
    ping: async () => {
      await database.ping()
      return undefined
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

interface ListenerOptions {
  db: Db
  handler: BellHandler
  concurrency: number
  signal: AbortSignal
  pollMs: number
  log: Logger
}

function createListener({ db, handler, concurrency, signal, pollMs, log }: ListenerOptions) {
  const alarm = createAlarm()
  const calls = new Set<Promise<void>>()
  const unheard = new Set<string>()
  let isFailing = false

  const call = async (jobId: string) => {
    unheard.add(jobId)
    try {
      await handler(jobId)
    } catch (error) {
      log.error({ err: error, job_id: jobId }, 'a bell was not answered')
    }
    setTimeout(() => unheard.delete(jobId), QUIET_MS).unref()
  }
  const hear = async () => {
    const free = concurrency - calls.size
    if (2 * free < concurrency) return // looking costs as much for one as for several
    for (const jobId of await selectBells(db, free, [...unheard])) {
      const answered = call(jobId).then(() => {
        calls.delete(answered)
        alarm.ring()
      })
      calls.add(answered)
    }
  }
  const tryToHear = async () => {
    try {
      await hear()
      if (isFailing) log.info('the queue can be read again')
      isFailing = false
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, 'the queue cannot be read; trying again')
      isFailing = true
    }
  }
  return {
    wake: alarm.ring,
    run: async () => {
      signal.addEventListener('abort', alarm.ring, { once: true })
      while (!signal.aborted) {
        await tryToHear()
        await alarm.wait(pollMs)
      }
      await Promise.all(calls)
    },
  }
}

/**
 * Announced jobs that nobody has claimed: drawn by lot, the first of each lane with the weight 1, the
 * second with 1/2, the nth with 1/n. So no lane holds up another, and several processes do not all
 * reach for the same: 50 of them did 500 jobs in 1.5 s, and in strict order in 12 s.
 */
async function selectBells(
  db: Db,
  limit: number,
  unheard: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    SELECT id FROM (
      SELECT id, row_number() OVER (PARTITION BY lane ORDER BY ring_again_at, id) AS rank FROM jobs
      WHERE state = 'pending' AND ring_again_at > now() AND id <> ALL(${unheard}::uuid[])) AS bells
    -- The smallest of exponentially distributed numbers: a lot with weights 1/rank.
    ORDER BY rank * -ln(1 - random()) LIMIT ${limit}`.execute(db)
  return rows.map(({ id }) => id)
}
