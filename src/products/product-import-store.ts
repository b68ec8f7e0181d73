// The statement of an import: as insertProduct, for many products at once and without their keys.

import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Executor } from '../database/database.ts'
import type { RequestContext } from '../images/image.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import type { CheckedProduct } from './product-input.ts'

/** Products with their ids, so that a statement whose answer was lost can be sent again. */
export interface ImportBatch {
  products: readonly (CheckedProduct & { id: string })[]
  pictures: readonly { id: string; jobId: string; productAt: number; position: number }[]
}

/** Ids rise in the order of the products. */
export function createImportBatch(checked: readonly CheckedProduct[]): ImportBatch {
  const products = checked.map((product) => ({ ...product, id: uuidv7() }))
  const pictures = products.flatMap(({ sourceUrls }, productAt) =>
    sourceUrls.map((_, position) => ({ id: uuidv7(), jobId: uuidv7(), productAt, position })),
  )
  return { products, pictures }
}

/**
 * Users, products, images, jobs and events in one statement: all of the batch is committed, or none.
 * A batch that was committed before is left as it is; while its first statement may still be running,
 * another one waits for it and then fails with a unique violation. Users are taken in their order, so
 * that two imports at once cannot wait for each other.
 */
export async function insertProducts(
  db: Executor,
  { products, pictures }: ImportBatch,
  { job, context }: { job: ImageJobDefinition; context: RequestContext },
): Promise<void> {
  const [first] = products
  if (!first) return
  const productOf = pictures.map(({ productAt }) => products[productAt] ?? first)
  await sql`
    WITH wanted AS (SELECT WHERE NOT EXISTS (SELECT FROM products WHERE id = ${first.id}::uuid)),
    incoming AS (
      SELECT incoming.* FROM wanted, unnest(
        ${products.map(({ id }) => id)}::uuid[], ${products.map(({ userId }) => userId)}::text[],
        ${products.map(({ name }) => name)}::text[],
        ${products.map(({ description }) => description)}::text[],
        ${products.map(({ price }) => price)}::numeric[],
        ${products.map(({ sourceUrls }) => sourceUrls.length)}::integer[]
      ) AS incoming (id, user_id, name, description, price, pictures)),
    picture AS (
      SELECT picture.* FROM wanted, unnest(
        ${pictures.map(({ id }) => id)}::uuid[], ${pictures.map(({ jobId }) => jobId)}::uuid[],
        ${productOf.map(({ id }) => id)}::uuid[], ${productOf.map(({ userId }) => userId)}::text[],
        ${pictures.map(({ position }) => position)}::integer[],
        ${pictures.map(({ position }, at) => productOf[at]?.sourceUrls[position] ?? '')}::text[]
      ) AS picture (id, job_id, product_id, user_id, position, source_url)),
    owner AS (
      INSERT INTO users (id)
      SELECT DISTINCT user_id FROM incoming
      WHERE NOT EXISTS (SELECT FROM users WHERE users.id = incoming.user_id)
      ORDER BY user_id
      ON CONFLICT DO NOTHING),
    created AS (
      INSERT INTO products (id, user_id, product_name, product_description, product_price,
        processing_status)
      SELECT id, user_id, name, description, price,
        CASE WHEN pictures > 0 THEN 'processing' ELSE 'completed' END
      FROM incoming),
    added AS (
      INSERT INTO images (id, product_id, position, source_url, max_attempts)
      SELECT id, product_id, position, source_url, ${job.maxAttempts}::integer FROM picture),
    queued AS (
      INSERT INTO jobs (id, name, key, payload, lane, max_attempts, trace)
      SELECT job_id, ${job.name}, id::text,
        jsonb_build_object('imageId', id, 'productId', product_id, 'sourceUrl', source_url,
          'requestId', ${context.requestId}::text),
        user_id, ${job.maxAttempts}::integer, ${context.traceparent}
      FROM picture)
    INSERT INTO events (user_id, product_id, image_id, type, data)
    SELECT user_id, product_id, image_id, type, '{"version": 1}'
    FROM (
      SELECT user_id, id AS product_id, NULL::uuid AS image_id, 'product.created' AS type, -1 AS n
      FROM incoming
      UNION ALL
      SELECT user_id, product_id, id, 'image.queued', position FROM picture) AS told
    ORDER BY product_id, n`.execute(db)
}
