// The event log as a shared cache is kept in step with it: which products changed, and to what version.

import { setTimeout as rest } from 'node:timers/promises'
import type { Change, ChangeLog } from '../cache/shared-session.ts'
import type { Db } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { readAllEvents, readLogState } from './log.ts'
import type { Relay } from './relay.ts'

/** More than these, and emptying the cache costs less than going through them. */
const MOST_EVENTS = 50_000
const BATCH = 5_000
const LOOK_EVERY_MS = 10
/** The relay looks twice a second; only a stranger's transaction that writes events makes it take longer. */
const PATIENCE_MS = 10_000

export function createChangeLog(db: Db, relay: Pick<Relay, 'toldThrough'>): ChangeLog {
  return {
    toldThrough: relay.toldThrough,
    settledThrough: async (signal) => {
      const { epoch, lastId } = await readLogState(db)
      const deadline = performance.now() + PATIENCE_MS
      for (;;) {
        const told = relay.toldThrough()
        if (told?.epoch === epoch && told.id >= lastId) return told
        if (performance.now() > deadline)
          throw new AppError('unavailable', 'The event log is not decided up to its end.')
        await rest(LOOK_EVERY_MS, undefined, { signal })
      }
    },
    between: async (from, through) => {
      if (from.epoch !== through.epoch || through.id - from.id > MOST_EVENTS) return undefined
      const versions = new Map<string, number>()
      for (let after = from; ; ) {
        const page = await readAllEvents(db, { after, through: through.id, limit: BATCH })
        if (page.lost) return undefined
        for (const { productId, version } of page.events)
          versions.set(productId, Math.max(version, versions.get(productId) ?? 0))
        if (page.complete)
          return Array.from(versions, ([key, version]): Change => ({ key, version }))
        after = { ...after, id: page.readThrough }
      }
    },
  }
}
