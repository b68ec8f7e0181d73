// Tells this process of every committed change, its own and others', soon after the commit.
//
// Ids are drawn before commit, so the log does not appear in id order: a tail by `id > last` alone
// loses what commits late. The relay keeps a list of holes, ids that were skipped so far, and reads
// them again each time; a fence tells when a hole will never be filled (its transaction rolled back).
// It reads at once, so subscribers may see events of different products out of order, and hold
// no more than a version to compare.

import { sql } from 'kysely'
import type { Database, Db } from '../database/database.ts'
import type { Logger } from '../observability/logger.ts'
import type { EventType } from './events.ts'

export interface RelayedEvent {
  id: number
  productId: string
  imageId: string | null
  type: EventType
  /** The product's version after the change. */
  version: number
}

export interface Relay extends AsyncDisposable {
  subscribe(listener: (event: RelayedEvent) => void): Disposable
  /** `performance.now()` of the last time every committed event had been passed on; undefined until then. */
  currentAsOf(): number | undefined
}

export interface RelayOptions {
  database: Database
  log: Logger
  /** Behind the signals, which may be lost. */
  pollMs?: number
}

const BATCH = 5_000

/** Starts reading at the log's present end; never rejects while it runs: an outage is retried. */
export function openRelay({ database, log, pollMs = 500 }: RelayOptions): Relay {
  const listeners = new Set<(event: RelayedEvent) => void>()
  const stopping = new AbortController()
  const reader = createReader(database.db)
  let currentAsOf: number | undefined
  let woken = Promise.withResolvers<void>()
  const wake = () => woken.resolve()
  const signal = database.signals.listen('events', wake)

  const readAll = async () => {
    for (;;) {
      const startedAt = performance.now()
      const { events, complete } = await reader.read()
      for (const event of events) for (const listener of listeners) listener(event)
      if (!complete) continue
      if (reader.hasStarted()) currentAsOf = startedAt
      return
    }
  }
  const run = async () => {
    let failing = false
    while (!stopping.signal.aborted) {
      woken = Promise.withResolvers<void>()
      try {
        await readAll()
        if (failing) log.info('the event log can be read again')
        failing = false
      } catch (error) {
        if (!failing)
          log.warn(
            { err: error },
            'the event log cannot be read: cached products are bypassed until it can',
          )
        failing = true
      }
      const timer = setTimeout(wake, pollMs)
      await woken.promise
      clearTimeout(timer)
    }
  }
  const running = run()
  return {
    subscribe: (listener) => {
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
    currentAsOf: () => currentAsOf,
    [Symbol.asyncDispose]: async () => {
      signal[Symbol.dispose]()
      stopping.abort()
      wake()
      await running
    },
  }
}

/** Ids up to `id` are decided, committed or gone for good, once no transaction older than `xid` runs. */
interface Fence {
  id: number
  xid: string
}

interface Reader {
  /** What was committed since the last call; not complete when there was more than one batch. */
  read(): Promise<{ events: RelayedEvent[]; complete: boolean }>
  /** False until everything before the starting point is decided: what is still under way there would be missed. */
  hasStarted(): boolean
}

function createReader(db: Db): Reader {
  const holes = new Set<number>()
  let last: number | undefined
  let fence: Fence | undefined

  const start = async () => {
    fence ??= await raiseFence(db)
    if (await hasPassed(db, fence)) {
      last = fence.id
      fence = undefined
    }
  }
  return {
    hasStarted: () => last !== undefined,
    read: async () => {
      if (last === undefined) {
        await start()
        return { events: [], complete: true }
      }
      if (holes.size > 0) fence ??= await raiseFence(db)
      const passed = fence && (await hasPassed(db, fence)) ? fence : undefined
      const events = await selectEvents(db, last, [...holes])
      for (const { id } of events) {
        for (let skipped = last + 1; skipped < id; skipped++) holes.add(skipped)
        holes.delete(id)
        last = Math.max(last, id)
      }
      if (passed) {
        // Decided before this read began, and not seen by it: rolled back.
        for (const id of holes) if (id <= passed.id) holes.delete(id)
        fence = undefined
      }
      return { events, complete: events.length < BATCH }
    },
  }
}

async function selectEvents(
  db: Db,
  last: number,
  holes: readonly number[],
): Promise<RelayedEvent[]> {
  const { rows } = await sql<RelayedEvent>`
    SELECT id, product_id AS "productId", image_id AS "imageId", type,
      (data ->> 'version')::bigint AS version
    FROM (
      SELECT * FROM events WHERE id = ANY(${holes}::bigint[])
      UNION ALL
      (SELECT * FROM events WHERE id > ${last} ORDER BY id LIMIT ${BATCH})) AS log
    ORDER BY id`.execute(db)
  return rows
}

/**
 * Two statements on purpose: the transaction id must be drawn after the sequence was read, so that it
 * is above that of every transaction which drew an event id until then. A snapshot's xmax will not do
 * in its place: it is one past the last *completed* transaction, and those under way may be above it.
 */
async function raiseFence(db: Db): Promise<Fence> {
  const sequence = await sql<{ id: number }>`
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS id FROM events_id_seq`.execute(db)
  const drawn = await sql<{ xid: string }>`SELECT pg_current_xact_id()::text AS xid`.execute(db)
  return { id: sequence.rows[0]?.id ?? 0, xid: drawn.rows[0]?.xid ?? '0' }
}

async function hasPassed(db: Db, { xid }: Fence): Promise<boolean> {
  const { rows } = await sql<{ passed: boolean }>`
    SELECT pg_snapshot_xmin(pg_current_snapshot()) >= ${xid}::text::xid8 AS passed`.execute(db)
  return rows[0]?.passed ?? false
}
