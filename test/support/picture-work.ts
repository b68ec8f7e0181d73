// The image job on a real ledger, move by move: posted through the use cases, claimed and settled as a
// worker does it. Where the point is the ledger, its stages store a row instead of a picture.

import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import pino from 'pino'
import type { Database, Executor } from '../../src/database/database.ts'
import type { AttemptStage, Images } from '../../src/images/image.ts'
import type { ImageJobPayload } from '../../src/images/image-job.ts'
import { createImages } from '../../src/images/images.ts'
import { type BoundJobs, bindJob, bindJobs } from '../../src/jobs/bind.ts'
import { claim, claimedJob } from '../../src/jobs/claim.ts'
import { fail as failClaimed, lockClaimed } from '../../src/jobs/fail.ts'
import type { ClaimedJob, CommittedMove, JobHandler } from '../../src/jobs/job.ts'
import { reap } from '../../src/jobs/reaper.ts'
import { settle } from '../../src/jobs/settle.ts'
import type { Logger } from '../../src/observability/logger.ts'
import { createHostGate } from '../../src/pipeline/host-gate.ts'
import { reserve } from '../../src/pipeline/objects.ts'
import { presets } from '../../src/pipeline/presets.ts'
import { createProcessImage } from '../../src/pipeline/process-image.ts'
import type { Progress, Stages, StagesResult } from '../../src/pipeline/stages.ts'
import type { ProductDocument, Representation } from '../../src/products/product.ts'
import { createProducts, type ProductsWithCache } from '../../src/products/products.ts'
import { context, imageJob, mediaUrls, newProduct } from './products.ts'

export const silent = pino({ level: 'silent' })
const unaborted = new AbortController().signal

export interface PictureWorkOptions {
  database: Database
  /** Default: `rowStages(database)`. */
  stages?: Stages
  spoolDirectory?: string
  /** Default: `silent`. */
  log?: Logger
}

export interface PictureWork {
  database: Database
  products: ProductsWithCache
  images: Images
  /** The handler, bound as the worker takes it. */
  jobs: BoundJobs
  handler: JobHandler<ImageJobPayload>
  /** What the handler was told of, oldest first. */
  committed: { imageId: string; move: CommittedMove }[]
  post(urls: readonly string[], userId?: string): Promise<ProductDocument>
  read(productId: string): Promise<ProductDocument>
  /** pending → running, as a worker that heard the bell; undefined when there is nothing to claim. */
  claim(imageId: string, worker?: string): Promise<ClaimedJob<ImageJobPayload> | undefined>
  /** The same for all pictures of a product in two statements, without the rows of their attempts: for many rounds. */
  claimAll(productId: string): Promise<ClaimedJob<ImageJobPayload>[]>
  /** Runs the stages, and returns the transaction that settles: undefined from it when the claim was lost. */
  run(job: ClaimedJob<ImageJobPayload>): Promise<() => Promise<'done' | 'dropped' | undefined>>
  /** running → pending or dead; undefined when the claim was lost. */
  fail(
    job: ClaimedJob<ImageJobPayload>,
    error: unknown,
  ): Promise<'retry_scheduled' | 'dead' | undefined>
  /** One round of the reaper. Retries are due at once. */
  reap(): Promise<number>
  /** claim, run and settle. */
  process(imageId: string): Promise<'done' | 'dropped' | undefined>
}

export function createPictureWork({
  database,
  stages = rowStages(database),
  spoolDirectory = '/nonexistent',
  log = silent,
}: PictureWorkOptions): PictureWork {
  const products = createProducts({
    database,
    mediaUrls,
    imageJob,
    checkUrl: () => undefined,
    cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => undefined },
  })
  const images = createImages({ database, mediaUrls, job: imageJob, onChanged: products.refresh })
  const committed: PictureWork['committed'] = []
  const handler = createProcessImage({
    stages,
    hosts: createHostGate(1_000),
    presets,
    spoolDirectory,
    urlPrefix: mediaUrls.prefix,
    onChanged: () => {},
    log,
  })
  const listening: JobHandler<ImageJobPayload> = {
    ...handler,
    onCommitted: (job, move, failure) => {
      handler.onCommitted?.(job, move, failure)
      committed.push({ imageId: job.payload.imageId, move })
    },
  }
  const jobs = bindJobs(bindJob(imageJob, listening))
  const bounds = { maxAgeMs: 24 * 3_600_000, random: () => 0 }
  const claimJob = (imageId: string, worker: string) =>
    database.transaction(async (tx) => {
      const { id: jobId } = await readJobOf(tx, imageId)
      const job = await claim(tx, { jobId, worker, leaseMs: 20_000 })
      if (!job) return undefined
      const claimed = job as ClaimedJob<ImageJobPayload>
      if (await handler.onClaimed(tx, claimed)) return claimed
      await settle(tx, job, async () => 'dropped')
      return undefined
    })
  const read = ({ body }: Representation): ProductDocument => JSON.parse(body.toString())

  const work: PictureWork = {
    database,
    products,
    images,
    jobs,
    handler,
    committed,
    post: async (urls, userId = 'seller') =>
      read(await products.create(newProduct({ user_id: userId, product_images: urls }), context)),
    read: async (productId) => read(await products.read(productId)),
    claim: (imageId, worker = 'worker') => claimJob(imageId, worker),
    claimAll: (productId) => claimAll(database, productId),
    run: async (job) => {
      const settlement = await handler.run(job, {
        signal: unaborted,
        wait: (turn) => turn,
      })
      return () => database.transaction((tx) => settle(tx, job, settlement))
    },
    fail: async (job, error) => {
      const verdict = handler.classify(job, error)
      return await database.transaction(async (tx) => {
        const locked = await lockClaimed(tx, job)
        if (!locked) return undefined
        const bound = jobs.get(job.name)
        assert.ok(bound)
        return await failClaimed(tx, { job, locked, handler: bound.handler, verdict, bounds })
      })
    },
    reap: () =>
      reap({
        database,
        jobs,
        settings: { maxAgeMs: bounds.maxAgeMs },
        log: silent,
        random: bounds.random,
      }),
    process: async (imageId) => {
      const job = await work.claim(imageId)
      return job && (await (await work.run(job))())
    },
  }
  return work
}

async function claimAll(
  { db }: Database,
  productId: string,
): Promise<ClaimedJob<ImageJobPayload>[]> {
  await sql`
    UPDATE images SET status = 'processing', attempts = 1 WHERE product_id = ${productId}`.execute(
    db,
  )
  const { rows } = await sql<ClaimedJob<ImageJobPayload>>`
    UPDATE jobs SET state = 'running', claim = gen_random_uuid(), worker = 'worker', attempts = 1,
      lease_until = clock_timestamp() + interval '1 minute'
    WHERE payload ->> 'productId' = ${productId}::text
    RETURNING ${claimedJob}`.execute(db)
  return rows
}

export interface RowStages extends Stages {
  /** The URLs that were worked on, oldest first. */
  ran: string[]
}

export interface RowStagesOptions {
  /** May wait, or throw what a stage throws. */
  hold?(url: string, signal: AbortSignal): Promise<void> | void
  /** What the origin serves under this URL: equal contents are one source. Default: the URL without its fragment. */
  contentOf?(url: string): string
}

/** Stages that reserve an object and put no file. */
export function rowStages(
  { db }: Database,
  { hold = () => {}, contentOf = (url) => url.replace(/#.*/, '') }: RowStagesOptions = {},
): RowStages {
  const ran: string[] = []
  return {
    ran,
    begin: beginAttempt,
    run: async ({ url, progress, signal }) => {
      ran.push(url)
      await hold(url, signal)
      progress.enter('store')
      return { image: facts, objects: await reserve(db, rendered(contentOf(url)), presets) }
    },
  }
}

function beginAttempt(): Progress {
  let stage: AttemptStage = 'claim'
  return {
    enter: (next) => {
      stage = next
    },
    wait: (turn) => turn,
    note: () => {},
    report: () => ({ stage, httpStatus: 200, bytes: 100, timings: {} }),
  }
}

const facts: StagesResult['image'] = {
  width: 10,
  height: 10,
  bytes: 100,
  format: 'jpeg',
  thumbhash: 'aGFzaA==',
}

/** What a renderer would have made of a picture with this content. */
export function rendered(content: string): Parameters<typeof reserve>[1] {
  const sourceSha256 = createHash('sha256').update(content).digest('hex')
  const files = presets.map(({ name, format }) => ({
    preset: name,
    body: Buffer.from('file'),
    width: 10,
    height: 10,
    format,
  }))
  return { sourceSha256, thumbhash: facts.thumbhash, files }
}

/** URLs of pictures that no other test posts. */
export function freshUrls(count: number): string[] {
  const folder = randomUUID()
  return Array.from({ length: count }, (_, n) => `https://example.com/${folder}/${n}.jpg`)
}

export interface ImageJobRow {
  id: string
  state: string
  attempts: number
  uncounted: number
  result: string | null
  claim: string | null
}

export async function readJobOf(db: Executor, imageId: string): Promise<ImageJobRow> {
  const { rows } = await sql<ImageJobRow>`
    SELECT id, state, attempts, uncounted, result, claim FROM jobs
    WHERE name = ${imageJob.name} AND key = ${imageId}`.execute(db)
  const [row] = rows
  assert.ok(row, `image ${imageId} has no job`)
  return row
}

/** As if the lease of its running attempt had run out. */
export async function expireLease(db: Executor, imageId: string): Promise<void> {
  await sql`
    UPDATE jobs SET lease_until = clock_timestamp() - interval '1 second'
    WHERE key = ${imageId} AND state = 'running'`.execute(db)
}

/** Everything that tells of a product, as it is stored: equal before and after what must change nothing. */
export async function snapshot(db: Executor, productId: string): Promise<unknown> {
  const { rows } = await sql<{ everything: unknown }>`
    SELECT jsonb_build_object(
      'product', (SELECT to_jsonb(products) FROM products WHERE id = ${productId}),
      'images', (SELECT jsonb_agg(to_jsonb(images) ORDER BY position) FROM images
        WHERE product_id = ${productId}),
      'renditions', (SELECT jsonb_agg(to_jsonb(renditions) ORDER BY image_id, preset) FROM renditions
        JOIN images ON images.id = image_id WHERE product_id = ${productId}),
      'attempts', (SELECT jsonb_agg(to_jsonb(image_attempts) ORDER BY image_id, number)
        FROM image_attempts JOIN images ON images.id = image_id WHERE product_id = ${productId}),
      'jobs', (SELECT jsonb_agg(to_jsonb(jobs) ORDER BY id) FROM jobs
        WHERE payload ->> 'productId' = ${productId}::text),
      'events', (SELECT jsonb_agg(to_jsonb(events) ORDER BY id) FROM events
        WHERE product_id = ${productId})) AS everything`.execute(db)
  return rows[0]?.everything
}

export interface AttemptRow {
  number: number
  stage: string
  outcome: string | null
  code: string | null
}

export async function readAttempts(db: Executor, imageId: string): Promise<AttemptRow[]> {
  const { rows } = await sql<AttemptRow>`
    SELECT number, stage, outcome, code FROM image_attempts
    WHERE image_id = ${imageId} ORDER BY number`.execute(db)
  return rows
}

/** The product's versions, in the order of its events. */
export async function versionsTold(db: Executor, productId: string): Promise<number[]> {
  const { rows } = await sql<{ version: number }>`
    SELECT (data ->> 'version')::bigint AS version FROM events
    WHERE product_id = ${productId} ORDER BY id`.execute(db)
  return rows.map(({ version }) => version)
}
