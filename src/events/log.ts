// Reading the event log. Every read of somebody's own place comes with what tells whether the log still
// reaches that far, seen in the same snapshot.

import { type RawBuilder, sql } from 'kysely'
import type { Db } from '../database/database.ts'
import type { LoggedEvent } from './events.ts'
import type { Position } from './position.ts'

/** The columns of a LoggedEvent, of a table or alias `events`. */
const columns = sql`events.id, events.user_id AS "userId", events.product_id AS "productId",
  events.image_id AS "imageId", events.type, (events.data ->> 'version')::bigint AS version,
  events.data - 'version' AS details, events.at`

/** The highest id drawn so far; its event may not be committed yet. */
const lastId = sql<number>`(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq)`

export interface LogState {
  epoch: string
  /** Events up to this one were removed for their age. */
  purgedThrough: number
  /** The highest id drawn so far; its event may not be committed yet. */
  lastId: number
}

const state = sql`event_log.epoch, event_log.purged_through AS "purgedThrough", ${lastId} AS "lastId"`

export async function readLogState(db: Db): Promise<LogState> {
  const { rows } = await sql<LogState>`SELECT ${state} FROM event_log`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the event log has no epoch')
  return row
}

/**
 * The place of what one product's row shows, for a statement that reads the row: no event after it is
 * in the row, every event up to it is. Needs `event_log` in the statement.
 */
export function positionOfProduct(productId: RawBuilder<unknown>): RawBuilder<number> {
  // The events of a product are visible in the order of their ids, because its row was locked for each.
  return sql`greatest(event_log.purged_through,
    (SELECT max(events.id) FROM events WHERE events.product_id = ${productId}))`
}

/** Ids from `from` to `to`, both inclusive. */
export interface IdRange {
  from: number
  to: number
}

/** Committed events in these ranges, and up to `limit` after `last`, in the order of their ids. */
export async function selectNewEvents(
  db: Db,
  { last, holes, limit }: { last: number; holes: readonly IdRange[]; limit: number },
): Promise<LoggedEvent[]> {
  const { rows } = await sql<LoggedEvent>`
    SELECT ${columns} FROM (
      SELECT found.* FROM unnest(${holes.map(({ from }) => from)}::bigint[],
        ${holes.map(({ to }) => to)}::bigint[]) AS hole (first, last)
      CROSS JOIN LATERAL (
        SELECT * FROM events WHERE id BETWEEN hole.first AND hole.last ORDER BY id LIMIT ${limit}) AS found
      UNION ALL
      (SELECT * FROM events WHERE id > ${last} ORDER BY id LIMIT ${limit})) AS events
    ORDER BY id`.execute(db)
  return rows
}

/** Committed events after `after` up to `through`, at most `limit`, in the order of their ids. */
export async function selectEventsBetween(
  db: Db,
  { after, through, limit }: { after: number; through: number; limit: number },
): Promise<LoggedEvent[]> {
  const { rows } = await sql<LoggedEvent>`
    SELECT ${columns} FROM events WHERE id > ${after} AND id <= ${through}
    ORDER BY id LIMIT ${limit}`.execute(db)
  return rows
}

/** A piece of the log from somebody's place on. */
export interface LogPage {
  /** The log does not reach back to the place, or it is a place of another epoch. */
  lost: boolean
  events: LoggedEvent[]
  /** Everything wanted up to this id has been read. */
  readThrough: number
  /** Nothing more was there. */
  complete: boolean
}

/** Ids that one statement looks at for a user's events, of which there may be few. */
const STRETCH = 10_000

/** What happened to one product after the place: at once, for what is visible of it is always a prefix. */
export async function readProductEvents(
  db: Db,
  productId: string,
  { after, limit }: { after: Position; limit: number },
): Promise<LogPage> {
  const wanted = sql`SELECT * FROM events WHERE product_id = ${productId} AND id > ${after.id}
    ORDER BY id LIMIT ${limit}`
  const { lost, events } = await readPage(db, wanted, after)
  return {
    lost,
    events,
    readThrough: events.at(-1)?.id ?? after.id,
    complete: events.length < limit,
  }
}

export interface ReadAllOptions {
  after: Position
  /** Events up to this id are decided: committed or gone for good. */
  through: number
  limit: number
  /** Only this user's. */
  userId?: string | undefined
}

/** What happened after the place, to all products. Looks at a bounded stretch of the log. */
export async function readAllEvents(db: Db, options: ReadAllOptions): Promise<LogPage> {
  const { after, through, limit, userId } = options
  const end = Math.max(after.id, Math.min(through, after.id + STRETCH))
  const whose = userId === undefined ? sql`true` : sql`user_id = ${userId}`
  const wanted = sql`SELECT * FROM events WHERE id > ${after.id} AND id <= ${end} AND ${whose}
    ORDER BY id LIMIT ${limit}`
  const { lost, events } = await readPage(db, wanted, after)
  const full = events.length === limit
  const readThrough = full ? (events.at(-1)?.id ?? end) : end
  return { lost, events, readThrough, complete: readThrough >= through }
}

async function readPage(
  db: Db,
  wanted: RawBuilder<unknown>,
  after: Position,
): Promise<Pick<LogPage, 'lost' | 'events'>> {
  type Row = LogState & (LoggedEvent | { id: null })
  const { rows } = await sql<Row>`
    SELECT ${state}, ${columns} FROM event_log LEFT JOIN LATERAL (${wanted}) AS events ON true
    ORDER BY events.id`.execute(db)
  const [first] = rows
  // A place ahead of the log belongs to one that was copied back under the same epoch.
  const lost =
    !first ||
    first.epoch !== after.epoch ||
    after.id < first.purgedThrough ||
    after.id > first.lastId
  const events = rows.flatMap(({ epoch: _, purgedThrough: __, lastId: ___, ...event }) =>
    event.id === null ? [] : [event as LoggedEvent],
  )
  return { lost, events: lost ? [] : events }
}
