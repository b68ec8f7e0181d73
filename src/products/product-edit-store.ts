// The statements of an edit, in the order in which they must run: lock and compare, read the pictures,
// change them, and in a later statement rebuild what the product says of them.

import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Tx } from '../database/database.ts'
import { currentEpoch } from '../events/epoch.ts'
import type { RequestContext } from '../images/image.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import { selectPublished, settledStatus } from '../images/product-change.ts'
import type { PictureChanges, StoredImageRef } from './picture-list.ts'

export interface LockedProduct {
  userId: string
  name: string
  description: string
  price: string
  edit: number
  epoch: string
}

/** The product, locked for the rest of the transaction; undefined when there is none. */
export async function lockForEdit(tx: Tx, id: string): Promise<LockedProduct | undefined> {
  const { rows } = await sql<LockedProduct>`
    SELECT user_id AS "userId", product_name AS name, product_description AS description,
      product_price AS price, edit, ${currentEpoch} AS epoch
    FROM products WHERE id = ${id} FOR UPDATE`.execute(tx)
  return rows[0]
}

/** In picture order. */
export async function selectImageRefs(tx: Tx, productId: string): Promise<StoredImageRef[]> {
  const { rows } = await sql<StoredImageRef>`
    SELECT id, source_url AS "sourceUrl" FROM images
    WHERE product_id = ${productId} ORDER BY position`.execute(tx)
  return rows
}

export interface Additions {
  productId: string
  lane: string
  job: ImageJobDefinition
  context: RequestContext
}

/**
 * Drops, moves and adds pictures in one statement, at whose end the positions are unique again. Jobs of
 * dropped pictures are left alone: they find nothing to do. Returns the ids of the new images.
 */
export async function changePictures(
  tx: Tx,
  { kept, added, dropped }: PictureChanges,
  { productId, lane, job, context }: Additions,
): Promise<string[]> {
  const images = added.map((picture) => ({ id: uuidv7(), jobId: uuidv7(), ...picture }))
  await sql`
    WITH gone AS (DELETE FROM images WHERE id = ANY(${dropped}::uuid[])),
    moved AS (
      UPDATE images SET position = place.position, updated_at = clock_timestamp()
      FROM unnest(${kept.map(({ id }) => id)}::uuid[],
        ${kept.map(({ position }) => position)}::integer[]) AS place (id, position)
      WHERE images.id = place.id AND images.position <> place.position),
    added AS (
      INSERT INTO images (id, product_id, position, source_url, max_attempts)
      SELECT source.id, ${productId}, source.position, source.url, ${job.maxAttempts}::integer
      FROM unnest(${images.map(({ id }) => id)}::uuid[],
        ${images.map(({ position }) => position)}::integer[],
        ${images.map(({ sourceUrl }) => sourceUrl)}::text[]) AS source (id, position, url))
    INSERT INTO jobs (id, name, key, payload, lane, max_attempts, trace)
    SELECT job.id, ${job.name}, job.image_id::text,
      jsonb_build_object('imageId', job.image_id, 'productId', ${productId}::uuid,
        'sourceUrl', job.url, 'requestId', ${context.requestId}::text),
      ${lane}, ${job.maxAttempts}::integer, ${context.traceparent}
    FROM unnest(${images.map(({ jobId }) => jobId)}::uuid[], ${images.map(({ id }) => id)}::uuid[],
      ${images.map(({ sourceUrl }) => sourceUrl)}::text[]) AS job (id, image_id, url)`.execute(tx)
  return images.map(({ id }) => id)
}

export interface EditedFields {
  name: string
  description: string
  price: string
}

/** The new fields, the list of published pictures as it is now, version and edit, and the events of it all. */
export async function publishEdit(
  tx: Tx,
  productId: string,
  {
    fields,
    addedImageIds,
    urlPrefix,
  }: {
    fields: EditedFields
    addedImageIds: readonly string[]
    urlPrefix: string
  },
): Promise<void> {
  await sql`
    WITH list AS (${selectPublished(productId, urlPrefix)}),
    product AS (
      UPDATE products SET product_name = ${fields.name}, product_description = ${fields.description},
        product_price = ${fields.price}::numeric, compressed_product_images = list.urls,
        processing_status = ${settledStatus}, version = version + 1, edit = edit + 1, updated_at = clock_timestamp()
      FROM list WHERE products.id = ${productId}
      RETURNING products.id, products.user_id, products.version)
    INSERT INTO events (user_id, product_id, image_id, type, data)
    SELECT product.user_id, product.id, told.image_id, told.type,
      jsonb_build_object('version', product.version)
    FROM product, (
      SELECT NULL::uuid AS image_id, 'product.updated' AS type, 0 AS n
      UNION ALL
      SELECT image_id, 'image.queued', n
      FROM unnest(${[...addedImageIds]}::uuid[]) WITH ORDINALITY AS queued (image_id, n)) AS told
    ORDER BY told.n`.execute(tx)
}

/** Removes a locked product with its pictures, and tells. Returns the version that readers must not fall below. */
export async function deleteProduct(tx: Tx, id: string): Promise<number> {
  const { rows } = await sql<{ version: number }>`
    WITH gone AS (DELETE FROM products WHERE id = ${id} RETURNING id, user_id, version + 1 AS version),
    told AS (
      INSERT INTO events (user_id, product_id, type, data)
      SELECT user_id, id, 'product.deleted', jsonb_build_object('version', version) FROM gone)
    SELECT version FROM gone`.execute(tx)
  const [row] = rows
  if (!row) throw new Error('a locked product was not there to be deleted')
  return row.version
}
