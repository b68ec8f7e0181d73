// The files behind renditions. Reserve a row with a fresh key, put the file, settle: a rendition never
// points at a file that is not there, and what nothing points at can be told and removed. A key is
// never used again, so a repeated or late upload is harmless.

import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Db, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { type Preset, recipeOf } from './presets.ts'
import type { RenderedFile } from './renderer.ts'

export interface SharedObject {
  id: string
  preset: string
  thumbhash: string
}

/**
 * The objects that already hold every preset of this source; undefined when one is missing. They are
 * touched, so that the sweep leaves them alone for as long as an attempt may last.
 */
export async function findShared(
  db: Db,
  sourceSha256: string,
  presets: readonly Preset[],
): Promise<SharedObject[] | undefined> {
  const presetOf = new Map(presets.map((preset) => [recipeOf(preset), preset.name]))
  const { rows } = await sql<{ id: string; recipe: string; thumbhash: string }>`
    UPDATE objects SET touched_at = clock_timestamp()
    WHERE source_sha256 = ${sourceSha256} AND recipe = ANY(${[...presetOf.keys()]}::text[])
      AND state = 'ready'
    RETURNING id, recipe, thumbhash`.execute(db)
  if (rows.length < presets.length) return undefined
  return rows.map(({ id, recipe, thumbhash }) => ({
    id,
    preset: presetOf.get(recipe) ?? recipe,
    thumbhash,
  }))
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
    key: freshKey(sourceSha256, file),
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

function freshKey(sourceSha256: string, { preset, format }: RenderedFile): string {
  const extension = format === 'jpeg' ? 'jpg' : format
  const random = randomBytes(8).toString('hex')
  return `renditions/${sourceSha256.slice(0, 2)}/${sourceSha256}/${preset}-${random}.${extension}`
}

/**
 * Makes reserved objects `ready` and touches shared ones, after the product's lock. Where another
 * attempt made the same object first, its id is returned: the winner's. Throws `storage_failed` when the sweep took
 * one meanwhile, and the attempt starts again.
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
    throw new AppError('storage_failed', 'A stored file was swept before the picture was settled.')
  }
  const presetOf = new Map(presets.map((preset) => [recipeOf(preset), preset.name]))
  return rows.map(({ id, recipe }) => ({ preset: presetOf.get(recipe) ?? recipe, objectId: id }))
}
