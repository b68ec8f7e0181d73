// The moves of an image, one statement each. All of them run after the job's row and the product's
// row were locked, in that order, and each bumps the product's version and tells of itself.
//
//   queued ──▶ processing ──▶ ready ──retry──▶ queued (the old result stays until the new one is there)
//     ▲           │   └─────▶ failed ──retry──▶ queued
//     └─hand back─┤
//                 └─▶ retry_scheduled ──▶ processing
//                           └─retry──▶ queued
//
//   queued, retry_scheduled or processing ──its job cannot be read──▶ failed

import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import type { AttemptOutcome, AttemptStage, ImageError } from './image.ts'
import { publishMove, publishRenditions } from './product-change.ts'

interface ImageRef {
  imageId: string
  productId: string
}

export interface StartedAttempt extends ImageRef {
  claim: string
  attempts: number
  maxAttempts: number
  worker: string
  traceId: string | null
}

/** → processing, and the attempt's row is opened. False when the image is gone. */
export async function startAttempt(tx: Tx, attempt: StartedAttempt): Promise<boolean> {
  const { rows } = await sql`
    WITH moved AS (
      UPDATE images SET status = 'processing', attempts = ${attempt.attempts},
        max_attempts = ${attempt.maxAttempts}, next_attempt_at = NULL, updated_at = clock_timestamp()
      WHERE id = ${attempt.imageId} AND product_id = ${attempt.productId}
      RETURNING id, product_id, status),
    opened AS (
      INSERT INTO image_attempts (image_id, number, claim, worker, trace_id)
      SELECT id, 1 + coalesce((SELECT max(number) FROM image_attempts WHERE image_id = id), 0),
        ${attempt.claim}, ${attempt.worker}, ${attempt.traceId}
      FROM moved),
    ${publishMove('image.processing', { attempt: attempt.attempts })}`.execute(tx)
  return rows.length === 1
}

/** What an attempt came to, for its row: whatever was reached before it ended. */
export interface AttemptReport {
  stage: AttemptStage
  httpStatus: number | null
  bytes: number | null
  /** Milliseconds by stage. */
  timings: Readonly<Record<string, number>>
}

export interface ReadyImage extends ImageRef {
  claim: string
  width: number
  height: number
  bytes: number
  format: string
  thumbhash: string
  renditions: readonly { preset: string; objectId: string }[]
  report: AttemptReport
  /** URL references of files are this and their key. */
  urlPrefix: string
}

/** processing → ready with its renditions; the product's list is rebuilt. False when the image is gone. */
export async function settleReady(tx: Tx, image: ReadyImage): Promise<boolean> {
  const { rows } = await sql`
    WITH moved AS (
      UPDATE images SET status = 'ready', error = NULL, width = ${image.width}, height = ${image.height},
        bytes = ${image.bytes}, format = ${image.format}, thumbhash = ${image.thumbhash},
        updated_at = clock_timestamp()
      WHERE id = ${image.imageId} AND product_id = ${image.productId} AND status = 'processing'
      RETURNING id),
    closed AS (${closeAttempt(image, 'ready')}),
    made AS (SELECT * FROM unnest(
      ${image.renditions.map(({ preset }) => preset)}::text[],
      ${image.renditions.map(({ objectId }) => objectId)}::uuid[]) AS made (preset, object_id)),
    replaced AS (
      DELETE FROM renditions USING moved
      WHERE image_id = moved.id AND preset NOT IN (SELECT preset FROM made)),
    written AS (
      INSERT INTO renditions (image_id, preset, object_id)
      SELECT moved.id, made.preset, made.object_id FROM moved, made
      ON CONFLICT (image_id, preset) DO UPDATE SET object_id = excluded.object_id)
    SELECT id FROM moved`.execute(tx)
  if (rows.length === 0) return false
  await publishRenditions(tx, image)
  return true
}

export interface FailedAttempt extends ImageRef {
  claim: string
  attempts: number
  error: ImageError
  /** Absent when another process failed it on our behalf (its worker was lost). */
  report: AttemptReport | undefined
}

/** processing → retry_scheduled. */
export async function scheduleRetry(
  tx: Tx,
  failed: FailedAttempt,
  dueAt: Timestamp,
): Promise<void> {
  await sql`
    WITH moved AS (
      UPDATE images SET status = 'retry_scheduled', attempts = ${failed.attempts},
        next_attempt_at = ${dueAt}, error = ${JSON.stringify(failed.error)}::jsonb,
        updated_at = clock_timestamp()
      WHERE id = ${failed.imageId} AND product_id = ${failed.productId}
      RETURNING id, product_id, status),
    closed AS (${closeAttempt(failed, 'retry_scheduled')}),
    ${publishMove('image.retry_scheduled', { code: failed.error.code, next_attempt_at: dueAt })}`.execute(
    tx,
  )
}

/** → failed, for good or until somebody retries it. */
export async function fail(tx: Tx, failed: FailedAttempt): Promise<void> {
  await sql`
    WITH moved AS (
      UPDATE images SET status = 'failed', attempts = ${failed.attempts}, next_attempt_at = NULL,
        error = ${JSON.stringify(failed.error)}::jsonb, updated_at = clock_timestamp()
      WHERE id = ${failed.imageId} AND product_id = ${failed.productId}
      RETURNING id, product_id, status),
    closed AS (${closeAttempt(failed, 'failed')}),
    ${publishMove('image.failed', { code: failed.error.code })}`.execute(tx)
}

/**
 * → failed, because its job cannot be read: by who claims it, and then there is no attempt, or by who takes it back
 * from a lost worker of another release, whose attempt ends with it. The product's row is locked here, by the image.
 */
export async function failUnread(
  tx: Tx,
  { imageId, claim, error }: Pick<FailedAttempt, 'imageId' | 'claim' | 'error'>,
): Promise<void> {
  await sql`
    SELECT FROM products WHERE id = (SELECT product_id FROM images WHERE id = ${imageId}::uuid)
    FOR UPDATE`.execute(tx)
  await sql`
    WITH moved AS (
      UPDATE images SET status = 'failed', next_attempt_at = NULL,
        error = ${JSON.stringify(error)}::jsonb, updated_at = clock_timestamp()
      WHERE id = ${imageId}::uuid
      RETURNING id, product_id, status),
    closed AS (${closeAttempt({ claim, report: undefined, error }, 'failed')}),
    ${publishMove('image.failed', { code: error.code })}`.execute(tx)
}

/** processing → queued, as if the attempt had not begun: its worker is stopping. */
export async function handBack(
  tx: Tx,
  { imageId, productId, claim, attempts, report }: Omit<FailedAttempt, 'error'>,
): Promise<void> {
  await sql`
    WITH moved AS (
      UPDATE images SET status = 'queued', attempts = ${attempts}, updated_at = clock_timestamp()
      WHERE id = ${imageId} AND product_id = ${productId} AND status = 'processing'
      RETURNING id, product_id, status),
    closed AS (${closeAttempt({ claim, report }, 'handed_back')}),
    ${publishMove('image.queued')}`.execute(tx)
}

/**
 * → queued, on somebody's demand. With fresh attempts, or as it stood when it only waited for its time.
 * Several at once raise the product's version once. False when they are all gone.
 */
export async function requeue(
  tx: Tx,
  {
    imageIds,
    productId,
    fresh,
  }: { imageIds: readonly string[]; productId: string; fresh: boolean },
): Promise<boolean> {
  const { rows } = await sql`
    WITH moved AS (
      UPDATE images SET status = 'queued', next_attempt_at = NULL,
        attempts = CASE WHEN ${fresh}::boolean THEN 0 ELSE attempts END,
        error = CASE WHEN ${fresh}::boolean THEN NULL ELSE error END, updated_at = clock_timestamp()
      WHERE id = ANY(${[...imageIds]}::uuid[]) AND product_id = ${productId}
      RETURNING id, product_id, status),
    ${publishMove('image.queued')}`.execute(tx)
  return rows.length === 1
}

/** The attempt of a picture that is gone, if its row is still there. */
export async function dropAttempt(tx: Tx, claim: string, report: AttemptReport): Promise<void> {
  await closeAttempt({ claim, report }, 'dropped').execute(tx)
}

interface ClosedAttempt {
  claim: string
  report: AttemptReport | undefined
  error?: ImageError
}

function closeAttempt({ claim, report, error }: ClosedAttempt, outcome: AttemptOutcome) {
  return sql`
    UPDATE image_attempts SET finished_at = clock_timestamp(), outcome = ${outcome},
      stage = coalesce(${report?.stage ?? null}, stage), code = ${error?.code ?? null},
      http_status = ${error?.http_status ?? report?.httpStatus ?? null}::integer,
      bytes = ${report?.bytes ?? null}::bigint,
      timings = ${report ? JSON.stringify(report.timings) : null}::jsonb
    WHERE claim = ${claim}`
}
