// Work that is done again and again, never twice at the same time in one process. What it throws is
// logged once per outage, and it is tried again.

import { createAlarm } from '../lib/alarm.ts'
import type { Logger } from '../observability/logger.ts'

export interface Schedule extends AsyncDisposable {
  /** Runs the task now, or once more after the run under way. While it fails, it waits for its time. */
  wake(): void
}

export interface ScheduleOptions {
  /** What it does, for the log: `announcing jobs`. */
  name: string
  /** From the end of a run to the next, give or take a tenth: so that nodes do not march in step. */
  everyMs: number
  /** While the task fails the pauses double, up to this. By default they stay what they are. */
  longestPauseMs?: number
  /** `signal` is aborted when the schedule is disposed of, which waits for the run under way. */
  task(signal: AbortSignal): Promise<void>
  log: Logger
  random?: () => number
}

/** The first run begins at once. */
export function openSchedule(options: ScheduleOptions): Schedule {
  const { name, everyMs, longestPauseMs = everyMs, task, log, random = Math.random } = options
  const stopping = new AbortController()
  const alarm = createAlarm()
  let failures = 0

  const attempt = async () => {
    try {
      await task(stopping.signal)
      if (failures > 0) log.info(`${name} works again`)
      failures = 0
    } catch (error) {
      if (failures++ === 0) log.warn({ err: error }, `${name} failed; trying again`)
    }
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      await attempt()
      const pauseMs = Math.min(everyMs * 2 ** Math.min(failures, 30), longestPauseMs)
      await alarm.wait(pauseMs * (0.9 + 0.2 * random()))
    }
  }
  const running = run()
  return {
    wake: () => {
      if (failures === 0) alarm.ring()
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      alarm.ring()
      await running
    },
  }
}
