// The status that lists filter by is the one that products show, whatever happens to their pictures.

/** What the statements are held to, in so many words. */
const cases: [ImageStatus[], string][] = [
  [[], 'completed'],
  [['ready', 'ready'], 'completed'],
  [['ready', 'queued'], 'processing'],
  [['failed', 'retry_scheduled'], 'processing'],
  [['ready', 'failed'], 'partial'],
  [['failed', 'failed'], 'failed'],
]
for (const [images, expected] of cases) {
  test(`a product whose pictures are [${images}] is ${expected}`, () => {
    assert.equal(processingStatus(images), expected)
  })
}

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Tx } from '../../src/database/database.ts'
import type { ImageError, ImageStatus } from '../../src/images/image.ts'
import {
  fail,
  failUnread,
  handBack,
  requeue,
  scheduleRetry,
  settleReady,
  startAttempt,
} from '../../src/images/image-moves.ts'
import { selectImagesOfProduct } from '../../src/images/image-store.ts'
import { lockProduct } from '../../src/images/product-change.ts'
import { createProducts, type ProductsWithCache } from '../../src/products/products.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { context, imageJob, mediaUrls, newProduct, processingStatus } from '../support/products.ts'

const RUNS = 25

const error: ImageError = { code: 'origin_error', detail: '', retryable: true, stage: 'download' }
const report = { stage: 'download', httpStatus: null, bytes: null, timings: {} } as const
const results = {
  width: 1,
  height: 1,
  bytes: 1,
  format: 'jpeg',
  thumbhash: '',
  urlPrefix: '/media/',
}

interface Image {
  id: string
  product_id: string
  status: ImageStatus
}

/** Every way in which a picture moves. */
const moves: Record<
  string,
  (tx: Tx, ref: { imageId: string; productId: string }) => Promise<unknown>
> = {
  start: (tx, ref) =>
    startAttempt(tx, {
      ...ref,
      claim: uuidv7(),
      attempts: 1,
      maxAttempts: 8,
      worker: 'w',
      traceId: null,
    }),
  ready: (tx, ref) =>
    settleReady(tx, { ...ref, ...results, claim: uuidv7(), renditions: [], report }),
  retryLater: (tx, ref) =>
    scheduleRetry(
      tx,
      { ...ref, claim: uuidv7(), attempts: 1, error, report },
      '2026-11-20T08:00:00.000000Z',
    ),
  fail: (tx, ref) => fail(tx, { ...ref, claim: uuidv7(), attempts: 1, error, report }),
  failUnread: (tx, ref) => failUnread(tx, { ...ref, claim: uuidv7(), error }),
  handBack: (tx, ref) => handBack(tx, { ...ref, claim: uuidv7(), attempts: 0, report }),
  retry: (tx, { imageId, productId }) =>
    requeue(tx, { imageIds: [imageId], productId, fresh: true }),
  retryAll: async (tx, { productId }) => {
    const found = await selectImagesOfProduct(tx, productId)
    const imageIds = found?.images.map(({ id }) => id) ?? []
    return await requeue(tx, { imageIds, productId, fresh: true })
  },
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ move: fc.constantFrom(...Object.keys(moves)), image: fc.nat() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ urls: fc.array(fc.constantFrom('a', 'b', 'c')), product: fc.nat() }),
  },
)

describeOnEachDatabase('the status of products', (engine) => {
  let open: TestDatabase
  let products: ProductsWithCache
  before(async () => {
    open = await engine.create()
    products = createProducts({
      database: open.database,
      mediaUrls,
      imageJob,
      checkUrl: () => undefined,
      cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => performance.now() },
    })
  })
  after(() => open[Symbol.asyncDispose]())

  const urlsOf = (names: readonly string[]) => names.map((name) => `https://example.com/${name}`)
  const allImages = async () =>
    (
      await sql<Image>`SELECT id, product_id, status FROM images ORDER BY id`.execute(
        open.database.db,
      )
    ).rows

  async function take(
    action: typeof step extends fc.Arbitrary<infer T> ? T : never,
    ids: string[],
  ) {
    if ('urls' in action) {
      const id = ids[action.product % ids.length] ?? ''
      return void (await products.patch(id, { product_images: urlsOf(action.urls) }, { context }))
    }
    const images = await allImages()
    const image = images[action.image % images.length]
    if (!image) return
    const ref = { imageId: image.id, productId: image.product_id }
    await open.database.transaction(async (tx) => {
      await lockProduct(tx, ref.productId)
      await moves[action.move]?.(tx, ref)
    })
  }

  async function assertKept(ids: readonly string[]) {
    const images = await allImages()
    const { rows } = await sql<{ id: string; processing_status: string }>`
      SELECT id, processing_status FROM products ORDER BY id`.execute(open.database.db)
    const derived = ids.toSorted().map((id) => ({
      id,
      processing_status: processingStatus(
        images.filter((image) => image.product_id === id).map(({ status }) => status),
      ),
    }))
    assert.deepEqual(rows, derived)
  }

  test('follows each move of a picture and each edit', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.constantFrom('a', 'b')), { minLength: 1, maxLength: 2 }),
        fc.array(step, { maxLength: 15 }),
        async (pictures, steps) => {
          await sql`TRUNCATE products CASCADE`.execute(open.database.db)
          const ids: string[] = []
          for (const names of pictures) {
            const made = newProduct({ product_images: urlsOf(names) })
            ids.push((await products.create(made, context)).id)
          }
          await assertKept(ids)
          for (const action of steps) {
            await take(action, ids)
            await assertKept(ids)
          }
        },
      ),
      { numRuns: RUNS },
    )
  })
})
