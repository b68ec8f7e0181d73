// The catalogue's use cases on real databases.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import type { ProductDocument, Representation } from '../../src/products/product.ts'
import { createProducts, type ProductsWithCache } from '../../src/products/products.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { context, imageJob, mediaUrls, newProduct } from '../support/products.ts'

describeOnEachDatabase('products', (engine) => {
  let open: TestDatabase
  let products: ProductsWithCache
  before(async () => {
    open = await engine.create()
    products = createProducts({
      database: open.database,
      mediaUrls,
      imageJob,
      checkUrl: (url) => (url.startsWith('http') ? undefined : { rule: 'scheme', detail: 'no' }),
      cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => performance.now() },
    })
  })
  after(() => open[Symbol.asyncDispose]())

  const read = ({ body }: Representation): ProductDocument => JSON.parse(body.toString())
  const rowsOf = async (table: string, productId: string) => {
    const { rows } = await sql<Record<string, unknown>>`
      SELECT * FROM ${sql.table(table)} WHERE product_id = ${productId} ORDER BY id`.execute(
      open.database.db,
    )
    return rows
  }

  test('a product is stored with its user, pictures, jobs and events, and answered as it will be read', async () => {
    const urls = ['https://example.com/1.jpg', 'https://example.com/2.jpg']
    const created = await products.create(newProduct({ product_images: urls }), context)
    const document = read(created)
    assert.equal(document.user_id, '1234-5678-9012')
    assert.equal(document.product_price, 100)
    assert.equal(document.processing_status, 'processing')
    assert.deepEqual(document.product_images, urls)
    assert.deepEqual(document.compressed_product_images, [])
    assert.deepEqual(
      document.images.map(({ position, status, attempts, max_attempts, renditions }) => [
        position,
        status,
        attempts,
        max_attempts,
        renditions,
      ]),
      [
        [0, 'queued', 0, 8, []],
        [1, 'queued', 0, 8, []],
      ],
    )
    assert.match(document.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    assert.deepEqual(read(await products.read(document.id)), document)

    const jobs = await sql<{ key: string; lane: string; payload: object; trace: string }>`
      SELECT key, lane, payload, trace FROM jobs ORDER BY id`.execute(open.database.db)
    assert.deepEqual(jobs.rows[0], {
      key: document.images[0]!.id,
      lane: '1234-5678-9012',
      payload: {
        imageId: document.images[0]!.id,
        productId: document.id,
        sourceUrl: urls[0],
        requestId: 'test',
      },
      trace: context.traceparent,
    })
    const events = await rowsOf('events', document.id)
    assert.deepEqual(
      events.map(({ type, image_id }) => [type, image_id]),
      [
        ['product.created', null],
        ['image.queued', document.images[0]!.id],
        ['image.queued', document.images[1]!.id],
      ],
    )
  })

  test('numbers are user ids too, and a price keeps its cents', async () => {
    const document = read(
      await products.create(
        newProduct({ user_id: 1, product_price: 19.99, product_images: [] }),
        context,
      ),
    )
    assert.equal(document.user_id, '1')
    assert.equal(document.product_price, 19.99)
    assert.equal(document.processing_status, 'completed')
  })

  test('every two-decimal price comes back as it was sent', async () => {
    for (const price of [0, 0.01, 0.07, 0.29, 1.1, 4.35, 1234567.89, 9_999_999_999.99]) {
      const created = await products.create(
        newProduct({ product_price: price, product_images: [] }),
        context,
      )
      assert.equal(read(created).product_price, price)
    }
  })

  test('any description that is let in fits its text search, however long and odd its words are', async () => {
    const letters = Array.from({ length: 5_000 }, (_, at) => String.fromCodePoint(0x20000 + at))
    const descriptions = [
      `oak ${'Ⱥ'.repeat(682)}`,
      'Ⱥ'.repeat(682).concat(' ').repeat(14),
      'İ'.repeat(682),
      'a'.repeat(10_000),
      'Ж'.repeat(1_023),
      'Ж'.repeat(1_024),
      ...[' ', '-', '.', '/', '@', '_'].map((between) => letters.join(between)),
      `http://vitrine.example/${letters.slice(0, 4_900).join('/')}`,
    ]
    for (const product_description of descriptions) {
      const created = await products.create(
        newProduct({ product_description, product_images: [] }),
        context,
      )
      assert.equal(read(created).product_description, product_description)
    }
  })

  test('everything at fault is named at once, and nothing is stored', async () => {
    const count = async () =>
      (await sql<{ n: number }>`SELECT count(*) AS n FROM products`.execute(open.database.db))
        .rows[0]!.n
    const before = await count()
    const bad = newProduct({
      product_name: 'a\0b',
      product_description: '\ud800',
      product_price: 1.234,
      product_images: ['https://example.com/1.jpg', 'ftp://example.com/2.jpg'],
    })
    await assert.rejects(
      products.create(bad, context),
      (error: { code: string; errors: { pointer: string }[] }) => {
        assert.equal(error.code, 'invalid_input')
        assert.deepEqual(
          error.errors.map(({ pointer }) => pointer),
          ['/product_name', '/product_description', '/product_price', '/product_images/1'],
        )
        return true
      },
    )
    assert.equal(await count(), before)
  })

  test('50 clients that use a new user for the first time at once all succeed', async () => {
    const created = await Promise.all(
      Array.from({ length: 50 }, () =>
        products.create(newProduct({ user_id: 'newcomer' }), context),
      ),
    )
    assert.equal(new Set(created.map(({ id }) => id)).size, 50)
  })

  test('ids that name nothing are not found, whatever their form', async () => {
    for (const id of [
      '0199f3c2-0000-7000-8000-000000000000',
      'x',
      '',
      '1',
      "'; DROP TABLE products",
    ]) {
      await assert.rejects(products.read(id), { code: 'not_found' })
    }
  })
})
