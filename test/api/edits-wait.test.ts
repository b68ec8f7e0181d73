// Answers that wait for pictures, on each engine: settled by a worker beside the API.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { openDatabase } from '../../src/database/open.ts'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'
import { describeOnEachDatabase, type TestEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createPictureWork, freshUrls, type PictureWork } from '../support/picture-work.ts'

describeOnEachDatabase('Prefer: wait', (engine) => {
  // All are created and settled within 30 s, the longest wait: on the one session of PGlite one after the other.
  const many = engine.name === 'pglite' ? 200 : 1_000
  let statements: string[]
  let api: TestApi
  let work: PictureWork
  before(async () => {
    statements = []
    api = await openApi({ engine: observed(engine, (text) => void statements.push(text)) })
    work = createPictureWork(api.database)
  })
  after(() => api[Symbol.asyncDispose]())

  const create = (urls: readonly string[], prefer: string) =>
    post(api.app, { ...sample, product_images: urls }, { prefer })
  /** The pictures of these URLs, once they are there. */
  const imagesOf = async (urls: readonly string[]) =>
    await eventually(async () => {
      const { rows } = await sql<{ id: string }>`
        SELECT id FROM images WHERE source_url = ANY(${[...urls]}::text[]) ORDER BY position`.execute(
        api.database.database.db,
      )
      assert.equal(rows.length, urls.length)
      return rows.map(({ id }) => id)
    })
  const process = async (imageId: string) => {
    assert.equal(await work.process(imageId), 'done')
    api.database.database.signals.send('events')
  }

  test('answers once the last picture is settled, with the product as it is then', async () => {
    const urls = freshUrls(2)
    const waited = create(urls, 'wait=30')
    const [first = '', second = ''] = await imagesOf(urls)
    await process(first)
    await process(second)
    const created = await waited
    const product = created.json()
    assert.equal(created.statusCode, 201)
    assert.equal(created.headers['preference-applied'], 'wait=30')
    assert.equal(product.processing_status, 'completed')
    assert.equal(product.compressed_product_images.length, 2)
    const read = await api.app.inject(`/products/${product.id}`)
    assert.deepEqual([read.body, read.headers.etag], [created.body, created.headers.etag])
    assert.equal(created.headers.location, `/api/v1/products/${product.id}`)
  })

  test('answers with what there is when the time is up', async () => {
    const startedAt = performance.now()
    const created = await create(freshUrls(1), 'respond-async, wait=1')
    assert.ok(performance.now() - startedAt >= 990)
    assert.deepEqual([created.statusCode, created.json().processing_status], [201, 'processing'])
    assert.equal(created.headers['preference-applied'], 'wait=1')
  })

  test('does not wait where nothing is to come, nor for what it does not understand', async () => {
    const startedAt = performance.now()
    const answers: [urls: string[], prefer: string, applied: string | undefined][] = [
      [[], 'wait=30', 'wait=30'],
      [freshUrls(1), 'wait=0', 'wait=0'],
      [freshUrls(1), 'wait=soon', undefined],
      [freshUrls(1), 'return=minimal', undefined],
      [[], 'wait=99', 'wait=30'],
    ]
    for (const [urls, prefer, applied] of answers) {
      const created = await create(urls, prefer)
      assert.equal(created.statusCode, 201)
      assert.equal(created.headers['preference-applied'], applied, prefer)
    }
    assert.ok(performance.now() - startedAt < 15_000)
  })

  test('serves changes too, and repeats of a creation', async () => {
    const key = { 'idempotency-key': freshUrls(1)[0] ?? '' }
    const first = await post(api.app, { ...sample, product_images: [] }, key)
    const url = `/products/${first.json().id}`
    const urls = freshUrls(1)
    const headers = { prefer: 'wait=30' }
    const payload = { product_images: urls }
    const patched = api.app.inject({ method: 'PATCH', url, payload, headers })
    const [added = ''] = await imagesOf(urls)
    const repeated = post(api.app, { ...sample, product_images: [] }, { ...key, ...headers })
    await process(added)
    for (const answer of [await patched, await repeated]) {
      assert.equal(answer.json().processing_status, 'completed')
      assert.equal(answer.headers['preference-applied'], 'wait=30')
    }
    assert.equal((await repeated).headers['idempotency-replayed'], 'true')
  })

  test('a product that is deleted meanwhile was created all the same', async () => {
    const urls = freshUrls(1)
    const waited = create(urls, 'wait=30')
    const [imageId = ''] = await imagesOf(urls)
    const { rows } = await sql<{ id: string }>`
      SELECT product_id AS id FROM images WHERE id = ${imageId}`.execute(api.database.database.db)
    await api.app.inject({ method: 'DELETE', url: `/products/${rows[0]?.id}` })
    const created = await waited
    assert.deepEqual([created.statusCode, created.json().id], [201, rows[0]?.id])
  })

  test(`${many} that wait cost no statement while nothing happens, and one each when it does`, async (t) => {
    const product = { ...sample, user_id: 'many', product_images: freshUrls(1) }
    const waits = Array.from({ length: many }, () => post(api.app, product, { prefer: 'wait=30' }))
    const { db } = api.database.database
    await eventually(async () => {
      const { rows } = await sql<{ n: number }>`
        SELECT count(*) AS n FROM products WHERE user_id = 'many'`.execute(db)
      assert.equal(rows[0]?.n, many)
    }, 30_000)
    await eventually(async () => assert.equal(await readsOfProducts(statements, 300), 0), 30_000)

    statements.length = 0
    await failAll(api, 'many')
    const answers = await Promise.all(waits)
    for (const answer of answers) assert.equal(answer.json().processing_status, 'failed')
    const reads = statements.filter(isProductRead).length
    assert.ok(reads >= many && reads <= 2 * many, `${reads} reads`)
    t.diagnostic(`${reads} reads`)
  })

  test('does not hold up the end of the server: it is answered with what there is', async () => {
    await using stopping = await openApi({ engine })
    const port = await listen(stopping.app)
    const waited = fetch(`http://127.0.0.1:${port}/products`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'wait=30' },
      body: JSON.stringify(sample),
    })
    await eventually(async () => {
      const { body } = await stopping.app.inject('/products')
      assert.equal(JSON.parse(body).data.length, 1)
    })
    const startedAt = performance.now()
    const closing = stopping.app.close()
    const answer = await waited
    assert.equal(answer.status, 201)
    assert.equal(answer.headers.get('connection'), 'close')
    assert.equal(
      ((await answer.json()) as { processing_status: string }).processing_status,
      'processing',
    )
    await closing
    assert.ok(performance.now() - startedAt < 15_000)
  })
})

/** The engine, with every statement of the API told. */
function observed(engine: TestEngine, onStatement: (text: string) => void): TestEngine {
  return {
    ...engine,
    create: async () => {
      const made = await engine.create()
      await made.database[Symbol.asyncDispose]()
      const database = await openDatabase({ ...made.options, onStatement })
      return {
        ...made,
        database,
        [Symbol.asyncDispose]: async () => {
          await database[Symbol.asyncDispose]()
          await made[Symbol.asyncDispose]()
        },
      }
    },
  }
}

/** A product read by its id, as a wait does it. */
function isProductRead(text: string): boolean {
  return /^\s*SELECT products\.id/.test(text)
}

/** How many products were read during so many milliseconds. */
async function readsOfProducts(statements: string[], ms: number): Promise<number> {
  statements.length = 0
  await new Promise((resolve) => setTimeout(resolve, ms))
  return statements.filter(isProductRead).length
}

/** All pictures of a user settle in one moment, as the moves would have it. */
async function failAll({ database: { database } }: TestApi, userId: string): Promise<void> {
  await database.transaction(async (tx) => {
    await sql`
      UPDATE images SET status = 'failed', error = jsonb_build_object('code', 'not_an_image',
        'detail', 'The file is no picture.', 'retryable', false, 'stage', 'inspect')
      FROM products WHERE products.id = product_id AND user_id = ${userId}`.execute(tx)
    await sql`
      WITH changed AS (
        UPDATE products SET processing_status = 'failed', version = version + 1
        WHERE user_id = ${userId} RETURNING id, user_id, version)
      INSERT INTO events (user_id, product_id, type, data)
      SELECT user_id, id, 'image.failed', jsonb_build_object('version', version) FROM changed`.execute(
      tx,
    )
  })
  database.signals.send('events')
}
