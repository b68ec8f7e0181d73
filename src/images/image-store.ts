// Reads of images and attempts. The JSON of an image is built by PostgreSQL, so that a product with
// all its pictures is one statement.

import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../database/database.ts'
import {
  type AttemptDocument,
  type ImageDocument,
  MAX_SHOWN_ATTEMPTS,
  type RenditionDocument,
} from './image.ts'

/** An image as it is stored: renditions name their files by key. */
export type StoredImage = Omit<ImageDocument, 'renditions'> & {
  renditions: (Omit<RenditionDocument, 'url'> & { key: string })[]
}

/** One image of the table alias `images`, as JSON in the contract's order of members. */
export const imageJson: RawBuilder<StoredImage> = sql`json_build_object(
  'id', images.id, 'position', images.position, 'source_url', images.source_url,
  'status', images.status, 'width', images.width, 'height', images.height, 'bytes', images.bytes,
  'format', images.format, 'thumbhash', images.thumbhash, 'attempts', images.attempts,
  'max_attempts', images.max_attempts,
  'next_attempt_at', to_char(images.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'error', images.error,
  'renditions', coalesce((
    SELECT json_agg(json_build_object('preset', renditions.preset, 'key', objects.key,
      'width', objects.width, 'height', objects.height, 'bytes', objects.bytes,
      'format', objects.format) ORDER BY renditions.preset)
    FROM renditions JOIN objects ON objects.id = renditions.object_id
    WHERE renditions.image_id = images.id), '[]'))`

/** The images of what stands under the name `products`, in picture order. */
export const imagesJson = sql<StoredImage[]>`
  coalesce((SELECT json_agg(${imageJson} ORDER BY images.position)
    FROM images WHERE images.product_id = products.id), '[]') AS images`

/** The images of one product in picture order, and whose it is; undefined when there is no such product. */
export async function selectImagesOfProduct(
  db: Executor,
  productId: string,
): Promise<{ images: StoredImage[]; userId: string } | undefined> {
  const { rows } = await sql<{ images: StoredImage[]; userId: string }>`
    SELECT user_id AS "userId", ${imagesJson}
    FROM products WHERE id = ${productId}`.execute(db)
  return rows[0]
}

export async function selectImage(
  db: Executor,
  imageId: string,
): Promise<{ image: StoredImage; productId: string; userId: string } | undefined> {
  const { rows } = await sql<{ image: StoredImage; productId: string; userId: string }>`
    SELECT ${imageJson} AS image, images.product_id AS "productId", products.user_id AS "userId"
    FROM images JOIN products ON products.id = images.product_id
    WHERE images.id = ${imageId}`.execute(db)
  return rows[0]
}

/** The newest MAX_SHOWN_ATTEMPTS, oldest first; undefined when there is no such image. */
export async function selectAttempts(
  db: Executor,
  imageId: string,
): Promise<AttemptDocument[] | undefined> {
  const { rows } = await sql<AttemptDocument | { number: null }>`
    SELECT number, stage, started_at, finished_at, outcome, code, http_status,
      image_attempts.bytes, timings, worker, trace_id
    FROM images LEFT JOIN image_attempts ON image_attempts.image_id = images.id
    WHERE images.id = ${imageId} ORDER BY number DESC LIMIT ${MAX_SHOWN_ATTEMPTS}`.execute(db)
  if (rows.length === 0) return undefined
  return rows.reverse().filter((row): row is AttemptDocument => row.number !== null)
}
