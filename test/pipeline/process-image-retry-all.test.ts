// All pictures of a product are run again on demand: which of them, and what becomes of the others.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { createImages } from '../../src/images/images.ts'
import { createProducts } from '../../src/products/products.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { readAttempts, readJobOf, snapshot, versionsTold } from '../support/picture-work.ts'
import { context, imageJob, mediaUrls } from '../support/products.ts'
import { createRetryWork, final, patient, type RetryWork } from '../support/retry-work.ts'

describeOnEachDatabase('the retry of the pictures of a product', (engine) => {
  let open: TestDatabase
  let database: Database
  let work: RetryWork
  before(async () => {
    open = await engine.create()
    database = open.database
    work = createRetryWork(database)
  })
  after(() => open[Symbol.asyncDispose]())

  const retry = (productId: string) => work.images.retryOfProduct(productId, context)

  test('runs what failed or waits with fresh attempts, and leaves the others alone', async () => {
    const { id, imageIds } = await work.post(5)
    const [failed, waiting, ready, running, queued] = imageIds as [string, ...string[]]
    assert.equal(await work.failBy(failed, final), 'dead')
    assert.equal(await work.failBy(waiting!, patient), 'retry_scheduled')
    assert.equal(await work.process(ready!), 'done')
    const job = await work.claim(running!)
    const before = await work.read(id)
    const others = await Promise.all([ready, running, queued].map((key) => jobOf(key!)))

    const answer = await retry(id)
    assert.deepEqual(
      answer.map(({ status, attempts, error, next_attempt_at }) => [
        status,
        attempts,
        error,
        next_attempt_at,
      ]),
      [
        ['queued', 0, null, null],
        ['queued', 0, null, null],
        ['ready', 1, null, null],
        ['processing', 1, null, null],
        ['queued', 0, null, null],
      ],
    )
    assert.deepEqual(answer, await work.images.ofProduct(id))
    const product = await work.read(id)
    assert.equal(product.version, before.version + 1)
    assert.deepEqual(product.compressed_product_images, before.compressed_product_images)
    assert.deepEqual(await Promise.all([ready, running, queued].map((key) => jobOf(key!))), others)
    const { rows: told } = await sql<{ image_id: string }>`
      SELECT image_id FROM events WHERE product_id = ${id} AND type = 'image.queued'
        AND (data ->> 'version')::int = ${product.version}`.execute(database.db)
    assert.deepEqual(
      told.map(({ image_id }) => image_id).sort(),
      [failed, waiting].sort(),
      'an event for each that moved',
    )

    assert.equal(await (await work.run(job!))(), 'done')
    for (const imageId of [failed, waiting, queued])
      assert.equal(await work.process(imageId!), 'done')
    const { processing_status, images } = await work.read(id)
    assert.equal(processing_status, 'completed')
    assert.deepEqual(
      images.map(({ attempts }) => attempts),
      [1, 1, 1, 1, 1],
    )
    assert.deepEqual(
      (await readAttempts(database.db, waiting!)).map(({ number, code }) => [number, code]),
      [
        [1, 'origin_rate_limited'],
        [2, null],
      ],
    )
  })

  test('fetches the ready ones again when nothing failed, and old results stay meanwhile', async () => {
    const { id, imageIds } = await work.post(3)
    const [one, another, running] = imageIds as [string, string, string]
    for (const imageId of [one, another]) await work.process(imageId)
    const job = await work.claim(running)
    const { compressed_product_images: old } = await work.read(id)
    work.serveSecondEdition()

    const answer = await retry(id)
    assert.deepEqual(
      answer.map(({ status }) => status),
      ['queued', 'queued', 'processing'],
    )
    assert.deepEqual(
      answer.flatMap(({ renditions }) => renditions.map(({ url }) => url)),
      old,
    )
    assert.deepEqual((await work.read(id)).compressed_product_images, old)

    assert.equal(await (await work.run(job!))(), 'done')
    for (const imageId of [one, another]) assert.equal(await work.process(imageId), 'done')
    const { compressed_product_images: urls } = await work.read(id)
    assert.equal(new Set([...urls, ...old]).size, 5, 'each was replaced')
  })

  test('makes new jobs where the old ones were removed from the ledger', async () => {
    const { id, imageIds } = await work.post(2)
    for (const imageId of imageIds) await work.process(imageId)
    await sql`DELETE FROM jobs WHERE key = ANY(${imageIds}::text[])`.execute(database.db)
    await retry(id)
    for (const imageId of imageIds) assert.equal(await work.process(imageId), 'done')
  })

  test('of as many as a product may have is one version and one answer', async () => {
    const { id, imageIds } = await work.post(20)
    for (const imageId of imageIds) await work.failBy(imageId, final)
    const { version, processing_status } = await work.read(id)
    assert.equal(processing_status, 'failed')
    const answer = await retry(id)
    assert.deepEqual(
      answer.map((image) => [image.id, image.position, image.status]),
      imageIds.map((imageId, position) => [imageId, position, 'queued']),
    )
    const after = await work.read(id)
    assert.deepEqual([after.version, after.processing_status], [version + 1, 'processing'])
    const told = await versionsTold(database.db, id)
    assert.equal(told.filter((one) => one === after.version).length, 20)
  })

  test('is refused when it has no pictures or all are under way, and changes nothing', async () => {
    const empty = await work.post(0)
    const busy = await work.post(2)
    await work.claim(busy.imageIds[0]!)
    for (const [{ id }, reason] of [
      [empty, /has no pictures/],
      [busy, /are under way/],
    ] as const) {
      const before = await snapshot(database.db, id)
      await assert.rejects(retry(id), { code: 'conflict', message: reason })
      assert.deepEqual(await snapshot(database.db, id), before)
    }
  })

  test('of a product that there is not is not found', async () => {
    const { id } = await work.post(1)
    await work.products.remove(id, { context })
    for (const absent of [id, '0199f3c2-0000-7000-8000-000000000000', 'x', '']) {
      await assert.rejects(retry(absent), { code: 'not_found' })
    }
  })

  test('is in the next read of a product that is kept in memory, with no news from the log', async () => {
    const { id, imageIds } = await work.post(1)
    await work.process(imageIds[0]!)
    const products = createProducts({
      database,
      mediaUrls,
      imageJob,
      checkUrl: () => undefined,
      cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => performance.now() },
    })
    const job = imageJob
    const images = createImages({ database, mediaUrls, job, onChanged: products.refresh })
    const kept = await products.read(id)
    assert.equal(await products.read(id), kept)
    await images.retryOfProduct(id.toUpperCase(), context)
    const { version, processing_status } = JSON.parse((await products.read(id)).body.toString())
    assert.deepEqual([version, processing_status], [4, 'processing'])
  })

  test('is carried to the attempts: its trace and its lane, however its id is written', async () => {
    const { id, imageIds } = await work.post(2)
    for (const imageId of imageIds) await work.process(imageId)
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01'
    await work.images.retryOfProduct(id.toUpperCase(), { requestId: 'again', traceparent })
    const { rows } = await sql`
      SELECT key, state, lane, trace, payload - 'sourceUrl' AS payload, max_attempts AS "maxAttempts"
      FROM jobs WHERE key = ANY(${imageIds}::text[]) ORDER BY id`.execute(database.db)
    assert.deepEqual(
      rows,
      imageIds.map((imageId) => ({
        key: imageId,
        state: 'pending',
        lane: 'seller',
        trace: traceparent,
        payload: { imageId, productId: id, requestId: 'again' },
        maxAttempts: imageJob.maxAttempts,
      })),
    )
    for (const imageId of imageIds) assert.equal(await work.process(imageId), 'done')
  })

  const jobOf = (imageId: string) => readJobOf(database.db, imageId)
})
