// The statements of the sweep. A row is marked only while nobody else holds it, and its whole condition
// is repeated where it is changed: whoever touched it meanwhile keeps it.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { milliseconds } from '../jobs/claim.ts'

export interface SweptObject {
  id: string
  key: string
  bytes: number
}

/** Some objects in the order of their ids. */
export interface Slice {
  /** Those that no rendition refers to, and that nobody touched for as long as was asked for. */
  unused: SweptObject[]
  /** Where the next slice begins; undefined when there are no more objects. */
  lastId: string | undefined
}

export interface SliceOptions {
  after: string
  graceMs: number
  limit: number
}

/** Before every id. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/** Makes the unused ones `going`. From then on no attempt shares or settles them. */
export async function markSlice(db: Db, options: SliceOptions): Promise<Slice> {
  const isOld = isOldFor(options.graceMs)
  const { rows } = await sql<SliceRow>`
    WITH ${unusedOf(options)},
    locked AS MATERIALIZED (
      SELECT id FROM objects WHERE id = ANY(ARRAY(SELECT id FROM unused)) AND ${isOld}
      FOR UPDATE SKIP LOCKED),
    marked AS (
      UPDATE objects SET state = 'going', touched_at = clock_timestamp()
      WHERE id = ANY(ARRAY(SELECT id FROM locked)) AND ${isOld}
      RETURNING id, key, bytes)
    SELECT (SELECT id FROM bound) AS last_id,
      (SELECT coalesce(json_agg(marked), '[]') FROM marked) AS unused`.execute(db)
  return toSlice(rows)
}

/** What `markSlice` would mark. */
export async function readSlice(db: Db, options: SliceOptions): Promise<Slice> {
  const { rows } = await sql<SliceRow>`
    WITH ${unusedOf(options)}
    SELECT (SELECT id FROM bound) AS last_id,
      (SELECT coalesce(json_agg(unused), '[]') FROM unused) AS unused`.execute(db)
  return toSlice(rows)
}

/**
 * The CTEs `bound`, where the slice ends, and `unused`. Both sides are read once, as ranges of their
 * indexes: asked for each object by itself, the planner reads all objects for every slice.
 */
function unusedOf({ after, limit, graceMs }: SliceOptions) {
  return sql`
    slice AS MATERIALIZED (
      SELECT id, key, bytes, state, touched_at FROM objects
      WHERE id > ${after}::uuid ORDER BY id LIMIT ${limit}),
    bound AS MATERIALIZED (SELECT id FROM slice ORDER BY id DESC LIMIT 1),
    used AS MATERIALIZED (
      SELECT object_id FROM renditions
      WHERE object_id > ${after}::uuid AND object_id <= (SELECT id FROM bound)),
    unused AS MATERIALIZED (
      SELECT id, key, bytes FROM slice
      WHERE ${isOldFor(graceMs)} AND NOT EXISTS (SELECT FROM used WHERE object_id = slice.id))`
}

function isOldFor(graceMs: number) {
  return sql`state <> 'going' AND touched_at < ${before(graceMs)}`
}

interface SliceRow {
  last_id: string | null
  unused: SweptObject[]
}

function toSlice([row]: SliceRow[]): Slice {
  return { unused: row?.unused ?? [], lastId: row?.last_id ?? undefined }
}

/**
 * A slice of those that have been `going` for so long. No rendition begins to refer to one; to one whose file was
 * lost it may go on to.
 */
export async function readTombstones(
  db: Db,
  { after, ageMs, limit }: { after: string; ageMs: number; limit: number },
): Promise<Slice> {
  const { rows } = await sql<SliceRow>`
    WITH slice AS MATERIALIZED (
      SELECT id, key, bytes FROM objects
      WHERE state = 'going' AND id > ${after}::uuid AND touched_at < ${before(ageMs)}
      ORDER BY id LIMIT ${limit}),
    used AS MATERIALIZED (
      SELECT object_id FROM renditions WHERE object_id = ANY(ARRAY(SELECT id FROM slice))),
    unused AS (
      SELECT * FROM slice WHERE NOT EXISTS (SELECT FROM used WHERE object_id = slice.id))
    SELECT (SELECT id FROM slice ORDER BY id DESC LIMIT 1) AS last_id,
      (SELECT coalesce(json_agg(unused), '[]') FROM unused) AS unused`.execute(db)
  return toSlice(rows)
}

export async function deleteTombstones(db: Db, ids: readonly string[]): Promise<void> {
  await sql`DELETE FROM objects WHERE id = ANY(${ids}::uuid[]) AND state = 'going'`.execute(db)
}

/** True for one of all workers that ask, once in `everyMs`. */
export async function takeTurn(db: Db, everyMs: number): Promise<boolean> {
  const { rows } = await sql`
    UPDATE object_sweep SET next_at = clock_timestamp() + ${milliseconds(everyMs)}
    WHERE id = 1 AND next_at <= clock_timestamp()
    RETURNING id`.execute(db)
  return rows.length === 1
}

/** Those of the keys that no row has, in whatever state. */
export async function selectKeysWithoutRow(db: Db, keys: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ key: string }>`
    SELECT listed.key FROM unnest(${keys}::text[]) AS listed (key)
    WHERE NOT EXISTS (SELECT FROM objects WHERE objects.key = listed.key)`.execute(db)
  return rows.map(({ key }) => key)
}

function before(ageMs: number) {
  return sql`clock_timestamp() - ${milliseconds(ageMs)}`
}
