// A picture is run again on demand: what becomes of its job, its attempts and the result it had.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { readAttempts, readJobOf, snapshot } from '../support/picture-work.ts'
import { context, imageJob } from '../support/products.ts'
import { createRetryWork, final, patient, type RetryWork } from '../support/retry-work.ts'

describeOnEachDatabase('the retry of a picture', (engine) => {
  let open: TestDatabase
  let database: Database
  let work: RetryWork
  before(async () => {
    open = await engine.create()
    database = open.database
    work = createRetryWork(database)
  })
  after(() => open[Symbol.asyncDispose]())

  const post = async (count = 1) => {
    const { id, imageIds } = await work.post(count)
    return { id, imageId: imageIds[0]!, imageIds }
  }
  const retry = (imageId: string) => work.images.retry(imageId, context)

  test('is refused while it is being processed, and changes nothing', async () => {
    const { id, imageId } = await post()
    const job = await work.claim(imageId)
    const before = await snapshot(database.db, id)
    await assert.rejects(retry(imageId), { code: 'conflict' })
    assert.deepEqual(await snapshot(database.db, id), before)
    assert.equal(await (await work.run(job!))(), 'done')
  })

  test('ends the wait for its next attempt, without taking any of its attempts back', async () => {
    const { imageId } = await post()
    assert.equal(await work.failBy(imageId, patient), 'retry_scheduled')
    assert.equal(await work.claim(imageId), undefined, 'it waits')
    const { status, attempts, next_attempt_at } = await retry(imageId)
    assert.deepEqual([status, attempts, next_attempt_at], ['queued', 1, null])
    assert.equal(await work.process(imageId), 'done')
    assert.equal((await work.images.read(imageId)).attempts, 2)
  })

  test('gives a failed picture fresh attempts, which are numbered on', async () => {
    const { id, imageId } = await post()
    await work.failBy(imageId, new AppError('origin_error', 'The origin answered 500.'))
    assert.equal(await work.failBy(imageId, final), 'dead')
    const queued = await retry(imageId)
    assert.deepEqual([queued.status, queued.attempts, queued.error], ['queued', 0, null])
    assert.equal((await work.read(id)).processing_status, 'processing')
    assert.equal(await work.process(imageId), 'done')
    const image = await work.images.read(imageId)
    assert.deepEqual([image.status, image.attempts], ['ready', 1])
    assert.deepEqual(
      (await readAttempts(database.db, imageId)).map(({ number, code }) => [number, code]),
      [
        [1, 'origin_error'],
        [2, 'not_an_image'],
        [3, null],
      ],
    )
  })

  test('fetches a ready picture again, and its old result stays until the new one is there', async () => {
    const { id, imageId, imageIds } = await post(2)
    for (const each of imageIds) await work.process(each)
    const { compressed_product_images: old } = await work.read(id)
    work.serveSecondEdition()
    const queued = await retry(imageId)
    assert.equal(queued.status, 'queued')
    assert.equal(queued.renditions[0]!.url, old[0])
    const job = await work.claim(imageId)
    const processing = await work.read(id)
    assert.equal(processing.images[0]!.status, 'processing')
    assert.deepEqual(processing.compressed_product_images, old)

    assert.equal(await (await work.run(job!))(), 'done')
    const { compressed_product_images: urls, images } = await work.read(id)
    assert.notEqual(urls[0], old[0])
    assert.deepEqual(urls, [images[0]!.renditions[0]!.url, old[1]])
    assert.equal(images[0]!.renditions.length, 1)
  })

  test('that fails leaves a ready picture its old result', async () => {
    const { id, imageId } = await post()
    await work.process(imageId)
    const { compressed_product_images: old } = await work.read(id)
    await retry(imageId)
    assert.equal(await work.failBy(imageId, final), 'dead')
    const product = await work.read(id)
    assert.deepEqual(
      [product.processing_status, product.images[0]!.error?.code],
      ['failed', 'not_an_image'],
    )
    assert.deepEqual(product.compressed_product_images, old)
  })

  test('of a picture that is still queued changes no more than its version', async () => {
    const { imageId } = await post()
    const { status, attempts } = await retry(imageId)
    assert.deepEqual([status, attempts], ['queued', 0])
    assert.equal(await work.process(imageId), 'done')
    assert.equal((await readAttempts(database.db, imageId)).length, 1)
  })

  test('makes a new job where the old one was removed from the ledger', async () => {
    const { imageId } = await post()
    await work.process(imageId)
    await sql`DELETE FROM jobs WHERE key = ${imageId}`.execute(database.db)
    await retry(imageId)
    const { state, attempts } = await readJobOf(database.db, imageId)
    assert.deepEqual([state, attempts], ['pending', 0])
    assert.equal(await work.process(imageId), 'done')
    assert.equal((await readAttempts(database.db, imageId)).length, 2)
  })

  test('of a picture that is gone is not found, and its job is left alone', async () => {
    const { imageId } = await post()
    await work.process(imageId)
    await sql`DELETE FROM images WHERE id = ${imageId}`.execute(database.db)
    for (const id of [imageId, '0199f3c2-0000-7000-8000-000000000000', 'x', '']) {
      await assert.rejects(retry(id), { code: 'not_found' })
    }
    assert.equal((await readJobOf(database.db, imageId)).state, 'done')
  })

  test('of a picture that is named in capital letters is one of its only job', async () => {
    const { imageId } = await post()
    await work.process(imageId)
    await retry(imageId.toUpperCase())
    const { rows } = await sql`
      SELECT key, state FROM jobs WHERE lower(key) = ${imageId}`.execute(database.db)
    assert.deepEqual(rows, [{ key: imageId, state: 'pending' }])
  })

  test('wakes who looks for jobs and who follows the log', async () => {
    const { imageId } = await post()
    await work.process(imageId)
    const woken = new Set<string>()
    using _jobs = database.signals.listen('jobs', () => woken.add('jobs'))
    using _events = database.signals.listen('events', () => woken.add('events'))
    await retry(imageId)
    await eventually(() => assert.deepEqual([...woken].sort(), ['events', 'jobs']))
  })

  test('is carried to the attempt: its trace and its lane', async () => {
    const { imageId } = await post()
    await work.process(imageId)
    const traceparent = '00-11111111111111111111111111111111-2222222222222222-01'
    await work.images.retry(imageId, { requestId: 'again', traceparent })
    const { rows } = await sql`
      SELECT lane, trace, payload ->> 'requestId' AS "requestId", max_attempts AS "maxAttempts"
      FROM jobs WHERE key = ${imageId}`.execute(database.db)
    assert.deepEqual(rows, [
      {
        lane: 'seller',
        trace: traceparent,
        requestId: 'again',
        maxAttempts: imageJob.maxAttempts,
      },
    ])
    await work.process(imageId)
    const [last] = (await work.images.attempts(imageId)).slice(-1)
    assert.equal(last!.trace_id, '11111111111111111111111111111111')
  })
})
