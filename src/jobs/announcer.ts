// Rings for what is committed and due, and tells of what has died: after every signal, and once a second
// behind it. Any number of nodes may run one; the ledger lets one of them ring at a time.

import type { Database } from '../database/database.ts'
import type { Logger } from '../observability/logger.ts'
import type { Queue } from '../queue/queue.ts'
import type { JobDefinition } from './job.ts'
import { buryDead } from './letters.ts'
import { type RingSettings, ring, unring } from './ring.ts'
import { openSchedule } from './schedule.ts'

export interface AnnouncerSettings extends RingSettings {
  /** Behind the signals, which may be lost. */
  pollMs?: number
}

export interface AnnouncerOptions {
  database: Database
  queue: Queue
  /** Of the jobs whose deaths are told with what they worked for. */
  definitions: readonly JobDefinition[]
  settings: AnnouncerSettings
  log: Logger
}

/** While the queue takes nothing, rounds are this far apart at most. */
const LONGEST_PAUSE_MS = 10_000

export function openAnnouncer({
  database,
  queue,
  definitions,
  settings,
  log,
}: AnnouncerOptions): AsyncDisposable {
  const announce = async (jobIds: string[]) => {
    try {
      await queue.announce(jobIds)
    } catch (error) {
      await unring(database.db, jobIds)
      throw error
    }
  }
  const schedule = openSchedule({
    name: 'announcing jobs',
    everyMs: settings.pollMs ?? 1_000,
    longestPauseMs: LONGEST_PAUSE_MS,
    log,
    task: async (signal) => {
      let rung: string[]
      do {
        rung = await ring(database, settings)
        if (rung.length > 0) await announce(rung)
        // Long lines get in the next round what short ones left of their share. But where the window is
        // full, and claims make room for a few at a time, they can wait for the next signal or poll.
      } while (rung.length > settings.window / 10 && !signal.aborted)
      const { bury } = queue
      if (bury) await buryDead({ database, bury, definitions }, signal)
    },
  })
  const signal = database.signals.listen('jobs', schedule.wake)
  return {
    [Symbol.asyncDispose]: async () => {
      signal[Symbol.dispose]()
      await schedule[Symbol.asyncDispose]()
    },
  }
}
