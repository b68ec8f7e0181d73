// The statements of the catalogue. A product with all its pictures is read in one, and written in one.

import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Executor } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import { currentEpoch } from '../events/epoch.ts'
import type { RequestContext } from '../images/image.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import { imageJson, imagesJson, type StoredImage } from '../images/image-store.ts'
import { milliseconds } from '../jobs/claim.ts'
import type { IdempotencyKey, ProcessingStatus } from './product.ts'
import type { CheckedProduct } from './product-input.ts'

/** A product as it is stored: prices as decimal text, pictures as references. */
export interface StoredProduct {
  id: string
  user_id: string
  product_name: string
  product_description: string
  product_price: string
  processing_status: ProcessingStatus
  version: number
  edit: number
  /** Of the event log: version and edit count within it. */
  epoch: string
  created_at: Timestamp
  updated_at: Timestamp
  images: StoredImage[]
}

/** Of a StoredProduct, from whatever stands under the name `products`; its pictures are `imagesJson`. */
export const productColumns = sql`products.id, products.user_id, products.product_name, products.product_description,
  products.product_price, products.processing_status, products.version, products.edit, ${currentEpoch} AS epoch, products.created_at,
  products.updated_at`

export async function selectProduct(db: Executor, id: string): Promise<StoredProduct | undefined> {
  const { rows } = await sql<StoredProduct>`
    SELECT ${productColumns}, ${imagesJson} FROM products WHERE id = ${id}`.execute(db)
  return rows[0]
}

export interface Insertion {
  job: ImageJobDefinition
  context: RequestContext
  /** Set for a creation that may be sent again. */
  idempotency: (IdempotencyKey & { fingerprint: string; keepMs: number }) | undefined
}

/** What came of an insert: a product, or nothing because the key was used before. */
export type Inserted =
  | { stored: StoredProduct }
  | { stored: undefined; firstProductId: string; isSameRequest: boolean }

/** The product's columns are null when its key was used before. */
type InsertedRow = (StoredProduct | { id: null }) & {
  first_product_id: string
  is_same_request: boolean
}

/**
 * Key, user, product, images, jobs and events in one statement: a 2xx means that all of it is committed.
 * The user is looked up before it is inserted: `ON CONFLICT DO UPDATE` on one hot user cost 4.5x. The
 * key does update: `DO NOTHING` would not return a row that was committed while we waited for it.
 * Key and arrays stand in sub-selects, which hide their values from the planner: for cheaper-looking plans
 * it would plan each creation anew, which takes longer (0.50 ms) than running it (0.39 ms).
 */
export async function insertProduct(
  db: Executor,
  product: CheckedProduct,
  { job, context, idempotency }: Insertion,
): Promise<Inserted> {
  const id = uuidv7()
  const imageIds = product.sourceUrls.map(() => uuidv7())
  const jobIds = product.sourceUrls.map(() => uuidv7())
  const key = sql`(SELECT ${idempotency?.key ?? null}::text)`
  const fingerprint = idempotency?.fingerprint ?? null
  const hasExpired = sql`known.created_at < now() - ${milliseconds(idempotency?.keepMs ?? 0)}`
  const { rows } = await sql<InsertedRow>`
    WITH claimed AS (
      INSERT INTO idempotency_keys AS known (principal, key, fingerprint, product_id)
      SELECT ${idempotency?.principal ?? null}::text, ${key}, ${fingerprint}::text, ${id}::uuid
      WHERE ${key} IS NOT NULL
      ON CONFLICT (principal, key) DO UPDATE SET
        fingerprint = CASE WHEN ${hasExpired} THEN excluded.fingerprint ELSE known.fingerprint END,
        product_id = CASE WHEN ${hasExpired} THEN excluded.product_id ELSE known.product_id END,
        created_at = CASE WHEN ${hasExpired} THEN excluded.created_at ELSE known.created_at END
      RETURNING product_id, fingerprint),
    wanted AS (
      SELECT WHERE ${key} IS NULL OR EXISTS (SELECT FROM claimed WHERE product_id = ${id}::uuid)),
    owner AS (
      INSERT INTO users (id) SELECT ${product.userId}::text FROM wanted
      WHERE NOT EXISTS (SELECT FROM users WHERE id = ${product.userId}::text)
      ON CONFLICT DO NOTHING),
    created AS (
      INSERT INTO products (id, user_id, product_name, product_description, product_price,
        processing_status)
      SELECT ${id}::uuid, ${product.userId}::text, ${product.name}::text,
        ${product.description}::text, ${product.price}::numeric,
        ${product.sourceUrls.length > 0 ? 'processing' : 'completed'}::text
      FROM wanted
      RETURNING *),
    added AS (
      INSERT INTO images (id, product_id, position, source_url, max_attempts)
      SELECT source.id, created.id, source.n - 1, source.url, ${job.maxAttempts}::integer
      FROM created, unnest((SELECT ${imageIds}::uuid[]), (SELECT ${product.sourceUrls}::text[]))
        WITH ORDINALITY AS source (id, url, n)
      RETURNING *),
    queued AS (
      INSERT INTO jobs (id, name, key, payload, lane, max_attempts, trace)
      SELECT (${jobIds}::uuid[])[added.position + 1], ${job.name}, added.id::text,
        jsonb_build_object('imageId', added.id, 'productId', added.product_id,
          'sourceUrl', added.source_url, 'requestId', ${context.requestId}::text),
        ${product.userId}, ${job.maxAttempts}::integer, ${context.traceparent}
      FROM added),
    told AS (
      INSERT INTO events (user_id, product_id, image_id, type, data)
      SELECT told.user_id, told.product_id, told.image_id, told.type, '{"version": 1}'
      FROM (
        SELECT user_id, id AS product_id, NULL::uuid AS image_id, 'product.created' AS type, -1 AS n
        FROM created
        UNION ALL
        SELECT created.user_id, created.id, added.id, 'image.queued', added.position
        FROM created, added) AS told
      ORDER BY told.n)
    SELECT ${productColumns}, coalesce(
        (SELECT json_agg(${imageJson} ORDER BY images.position) FROM added AS images), '[]') AS images,
      coalesce((SELECT product_id FROM claimed), ${id}::uuid) AS first_product_id,
      coalesce((SELECT fingerprint FROM claimed) = ${fingerprint}, true) AS is_same_request
    FROM (SELECT) AS always LEFT JOIN created AS products ON true`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the insert of a product returned no row')
  if (row.id !== null) return { stored: row }
  const { first_product_id: firstProductId, is_same_request: isSameRequest } = row
  return { stored: undefined, firstProductId, isSameRequest }
}
