// Rings for what is committed and due, after every signal and once a second behind it, and tells of what has
// died once a second. Neither waits for the other: a queue may take bells and no letters. Any number of nodes
// may run one; the ledger lets one of them ring at a time.

import type { Database } from '../database/database.ts'
import type { Logger } from '../observability/logger.ts'
import type { Queue } from '../queue/queue.ts'
import type { JobDefinition } from './job.ts'
import { buryDead } from './letters.ts'
import { type RingSettings, ring, unring } from './ring.ts'
import { openSchedule, type Schedule } from './schedule.ts'

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

export function openAnnouncer(options: AnnouncerOptions): AsyncDisposable {
  const { database, queue } = options
  const { bury } = queue
  const ringing = openRinging(options)
  const burying = bury && openBurying(options, bury)
  const signal = database.signals.listen('jobs', ringing.wake)
  return {
    [Symbol.asyncDispose]: async () => {
      signal[Symbol.dispose]()
      await Promise.all([ringing, burying].map((schedule) => schedule?.[Symbol.asyncDispose]()))
    },
  }
}

function openRinging({ database, queue, settings, log }: AnnouncerOptions): Schedule {
  const announce = async (jobIds: string[]) => {
    try {
      await queue.announce(jobIds)
    } catch (error) {
      await unring(database.db, jobIds)
      throw error
    }
  }
  return openSchedule({
    ...pacing(settings),
    log,
    name: 'announcing jobs',
    task: async (signal) => {
      let rung: string[]
      do {
        rung = await ring(database, settings)
        if (rung.length > 0) await announce(rung)
        // Long lines get in the next round what short ones left of their share. But where the window is
        // full, and claims make room for a few at a time, they can wait for the next signal or poll.
      } while (rung.length > settings.window / 10 && !signal.aborted)
    },
  })
}

function openBurying(
  { database, definitions, settings, log }: AnnouncerOptions,
  bury: NonNullable<Queue['bury']>,
): Schedule {
  return openSchedule({
    ...pacing(settings),
    log,
    name: 'telling the queue of dead jobs',
    task: (signal) => buryDead({ database, bury, definitions }, signal),
  })
}

function pacing({ pollMs = 1_000 }: AnnouncerSettings) {
  return { everyMs: pollMs, longestPauseMs: LONGEST_PAUSE_MS }
}
