// The files behind renditions. Reserve a row with a fresh key, put the file, settle: a rendition never
// points at a file that was not put, and what nothing points at can be told and removed. A key is
// never used again, so a repeated or late upload is harmless. What a disk or an operator loses is noticed
// when it would be shared, and made again under another key.

import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Db, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { freshRenditionKey } from '../images/rendition-key.ts'
import type { Logger } from '../observability/logger.ts'
import type { Storage } from '../storage/storage.ts'
import { type Preset, recipeOf } from './presets.ts'
import type { RenderedFile } from './renderer.ts'

export interface SharedObject {
  id: string
  preset: string
  thumbhash: string
}

export interface SharedFiles {
  db: Db
  storage: Pick<Storage, 'open'>
  /** Told of each file that is lost. */
  log: Pick<Logger, 'warn'>
}

/**
 * The objects that already hold every preset of this source; undefined when one is missing. They are
 * touched, so that the sweep leaves them alone for as long as an attempt may last. One whose file is lost
 * is shared no more, whoever asks. Throws `storage_failed` when that cannot be told.
 */
export async function findShared(
  { db, storage, log }: SharedFiles,
  sourceSha256: string,
  presets: readonly Preset[],
): Promise<SharedObject[] | undefined> {
  const presetOf = new Map(presets.map((preset) => [recipeOf(preset), preset.name]))
  const { rows } = await sql<{ id: string; key: string; recipe: string; thumbhash: string }>`
    UPDATE objects SET touched_at = clock_timestamp()
    WHERE source_sha256 = ${sourceSha256} AND recipe = ANY(${[...presetOf.keys()]}::text[])
      AND state = 'ready'
    RETURNING id, key, recipe, thumbhash`.execute(db)
  const shared: SharedObject[] = []
  for (const { id, key, recipe, thumbhash } of rows) {
    if (await storage.open(key))
      shared.push({ id, preset: presetOf.get(recipe) ?? recipe, thumbhash })
    else if (await giveUp(db, id)) log.warn({ key }, 'a stored file is lost; it will be made again')
  }
  return shared.length < presets.length ? undefined : shared
}

/**
 * A `ready` object's file was put before, and only the sweep removes it, after the state has changed: one
 * that is not there is lost. Renditions of other pictures may go on referring to the row; nobody settles
 * it any more, so the same object can be made again beside it. False when somebody else was first.
 */
async function giveUp(db: Db, id: string): Promise<boolean> {
  const { rows } = await sql`
    UPDATE objects SET state = 'going', touched_at = clock_timestamp()
    WHERE id = ${id} AND state = 'ready'
    RETURNING id`.execute(db)
  return rows.length === 1
}

export interface ReservedObject {
  id: string
  preset: string
  key: string
  file: RenderedFile
}

/** Rows in state `storing` under fresh keys, committed before the files are put. */
export async function reserve(
  db: Db,
  {
    sourceSha256,
    files,
    thumbhash,
  }: { sourceSha256: string; thumbhash: string; files: readonly RenderedFile[] },
  presets: readonly Preset[],
): Promise<ReservedObject[]> {
  const recipes = new Map(presets.map((preset) => [preset.name, recipeOf(preset)]))
  const objects = files.map((file) => ({
    id: uuidv7(),
    preset: file.preset,
    recipe: recipes.get(file.preset),
    key: freshRenditionKey({ sourceSha256, preset: file.preset, format: file.format }),
    file,
  }))
  await sql`
    INSERT INTO objects (id, key, source_sha256, recipe, state, width, height, bytes, format, thumbhash)
    SELECT made.id, made.key, ${sourceSha256}, made.recipe, 'storing', made.width, made.height,
      made.bytes, made.format, ${thumbhash}
    FROM unnest(${objects.map(({ id }) => id)}::uuid[], ${objects.map(({ key }) => key)}::text[],
      ${objects.map(({ recipe }) => recipe)}::text[],
      ${files.map(({ width }) => width)}::integer[], ${files.map(({ height }) => height)}::integer[],
      ${files.map(({ body }) => body.byteLength)}::bigint[], ${files.map(({ format }) => format)}::text[])
      AS made (id, key, recipe, width, height, bytes, format)`.execute(db)
  return objects
}

/**
 * Makes reserved objects `ready` and touches shared ones, after the product's lock. Where another
 * attempt made the same object first, its id is returned: the winner's. Throws `storage_failed` when one was
 * swept or given up meanwhile, and the attempt starts again.
 */
export async function settleObjects(
  tx: Tx,
  used: readonly { id: string; preset: string }[],
  presets: readonly Preset[],
): Promise<{ preset: string; objectId: string }[]> {
  const ids = used.map(({ id }) => id)
  const { rows } = await sql<{ id: string; recipe: string }>`
    WITH put AS (
      INSERT INTO objects (key, source_sha256, recipe, state, width, height, bytes, format, thumbhash)
      SELECT key, source_sha256, recipe, 'ready', width, height, bytes, format, thumbhash
      FROM objects WHERE id = ANY(${ids}::uuid[]) AND state <> 'going' ORDER BY recipe FOR UPDATE
      ON CONFLICT (source_sha256, recipe) WHERE state = 'ready'
        DO UPDATE SET touched_at = clock_timestamp()
      RETURNING id, key, recipe),
    used AS (
      DELETE FROM objects USING put
      WHERE objects.id = ANY(${ids}::uuid[]) AND objects.state = 'storing' AND objects.key = put.key)
    SELECT id, recipe FROM put`.execute(tx)
  if (rows.length < used.length) {
    throw new AppError('storage_failed', 'A stored file was gone before the picture was settled.')
  }
  const presetOf = new Map(presets.map((preset) => [recipeOf(preset), preset.name]))
  return rows.map(({ id, recipe }) => ({ preset: presetOf.get(recipe) ?? recipe, objectId: id }))
}
