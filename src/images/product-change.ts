// What a change of a picture does to its product: the row is locked first, and every move ends with
// a version more and an event, told under that lock.

import { type RawBuilder, sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { EventType } from '../events/events.ts'
import { PUBLISHED_PRESET } from './image.ts'

/**
 * Locks the product for the rest of the transaction; false when it is gone. The order of locks is
 * job → product → images everywhere: locking the product before the job deadlocked with claims.
 */
export async function lockProduct(tx: Tx, productId: string): Promise<boolean> {
  const { rows } = await sql`
    SELECT FROM products WHERE id = ${productId} FOR UPDATE`.execute(tx)
  return rows.length === 1
}

/**
 * The end of a statement whose CTE `moved (id, product_id, status)` changed images of one product: what it
 * makes of that, one version, an event each, and the new version as the result (no row when nothing moved).
 */
export function publishMove(
  type: EventType,
  data: Record<string, unknown> = {},
): RawBuilder<{ version: number }> {
  // The table is seen as it was before the statement.
  const pictures = sql`
    SELECT coalesce(moved.status, images.status) AS status
    FROM images LEFT JOIN moved ON moved.id = images.id WHERE images.product_id = products.id`
  return sql`
    product AS (
      UPDATE products SET version = version + 1, updated_at = clock_timestamp(),
        processing_status = ${derivedStatus(pictures)}
      FROM moved WHERE products.id = moved.product_id
      RETURNING products.id, products.user_id, products.version),
    told AS (${insertEvent(type, data)})
    SELECT version FROM product`
}

/**
 * Rebuilds `compressed_product_images` in picture order. A statement of its own after the renditions
 * were written: in the same statement it would not see them, and without the product's lock two
 * pictures that settle at once lose a URL.
 */
export async function publishRenditions(
  tx: Tx,
  { imageId, productId, urlPrefix }: { imageId: string; productId: string; urlPrefix: string },
): Promise<void> {
  await sql`
    WITH moved AS (SELECT ${imageId}::uuid AS id, ${productId}::uuid AS product_id),
    list AS (${selectPublished(productId, urlPrefix)}),
    product AS (
      UPDATE products SET compressed_product_images = list.urls,
        processing_status = ${settledStatus},
        version = version + 1, updated_at = clock_timestamp()
      FROM list WHERE products.id = ${productId}
      RETURNING products.id, products.user_id, products.version)
    ${insertEvent('image.ready', {})}`.execute(tx)
}

/** What these pictures (`status`) make of their product. */
function derivedStatus(pictures: RawBuilder<unknown>): RawBuilder<string> {
  return sql`(
    SELECT CASE
      WHEN count(*) FILTER (WHERE status <> 'ready') = 0 THEN 'completed'
      WHEN bool_or(status NOT IN ('ready', 'failed')) THEN 'processing'
      WHEN bool_and(status = 'failed') THEN 'failed'
      ELSE 'partial' END
    FROM (${pictures}) AS pictures)`
}

/** Of `products`, for a statement of its own after its pictures were changed. */
export const settledStatus: RawBuilder<string> = derivedStatus(
  sql`SELECT status FROM images WHERE images.product_id = products.id`,
)

/** The product's published pictures in picture order, as one row `urls`. */
export function selectPublished(
  productId: string,
  urlPrefix: string,
): RawBuilder<{ urls: string[] }> {
  return sql`
    SELECT coalesce(array_agg(${urlPrefix}::text || objects.key ORDER BY images.position), '{}') AS urls
    FROM images
    JOIN renditions ON renditions.image_id = images.id AND renditions.preset = ${PUBLISHED_PRESET}
    JOIN objects ON objects.id = renditions.object_id
    WHERE images.product_id = ${productId}`
}

/** From the CTEs `product (id, user_id, version)` and `moved (id)`. */
function insertEvent(type: EventType, data: Record<string, unknown>): RawBuilder<unknown> {
  return sql`
    INSERT INTO events (user_id, product_id, image_id, type, data)
    SELECT product.user_id, product.id, moved.id, ${type}::text,
      jsonb_build_object('version', product.version) || ${JSON.stringify(data)}::jsonb
    FROM product, moved`
}
