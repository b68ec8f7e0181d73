// Creations that are sent again with their key, on each engine.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { purgeIdempotencyKeys } from '../../src/products/idempotency-purge.ts'
import { createProducts } from '../../src/products/products.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'
import { describeOnEachDatabase, describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { context, imageJob, mediaUrls, newProduct } from '../support/products.ts'

const AT_ONCE = 20

describeOnEachDatabase('Idempotency-Key', (engine) => {
  let api: TestApi
  before(async () => {
    api = await openApi({ engine })
  })
  after(() => api[Symbol.asyncDispose]())

  const send = (key: string, changes: object = {}) =>
    post(api.app, { ...sample, ...changes }, { 'idempotency-key': key })
  const countOf = async (productName: string) => {
    const { rows } = await sql<{ products: number; jobs: number; events: number }>`
      SELECT count(DISTINCT products.id) AS products, count(DISTINCT jobs.id) AS jobs,
        count(DISTINCT events.id) AS events
      FROM products LEFT JOIN images ON images.product_id = products.id
      LEFT JOIN jobs ON jobs.key = images.id::text LEFT JOIN events ON events.product_id = products.id
      WHERE product_name = ${productName}`.execute(api.database.database.db)
    return rows[0]
  }
  const expire = (key: string) =>
    sql`UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE key = ${key}`.execute(
      api.database.database.db,
    )

  test('a repeat makes nothing: it answers where the product is, and how it is now', async () => {
    const key = randomUUID()
    const first = await send(key, { product_name: 'Repeated' })
    assert.equal(first.statusCode, 201)
    assert.equal(first.headers['idempotency-replayed'], undefined)
    const again = await send(key, { product_name: 'Repeated' })
    assert.equal(again.statusCode, 201)
    assert.equal(again.headers['idempotency-replayed'], 'true')
    for (const header of ['location', 'etag', 'content-type'])
      assert.equal(again.headers[header], first.headers[header])
    assert.equal(again.body, first.body)
    assert.deepEqual(await countOf('Repeated'), { products: 1, jobs: 1, events: 2 })

    const url = String(first.headers.location)
    const payload = { product_description: 'changed since' }
    const patched = await api.app.inject({ method: 'PATCH', url, payload })
    const later = await send(key, { product_name: 'Repeated' })
    assert.equal(later.body, patched.body)
    assert.equal(later.headers.etag, patched.headers.etag)
    assert.equal(later.headers.location, first.headers.location)
  })

  test('without a key every request makes a product', async () => {
    for (let n = 0; n < 2; n++) await post(api.app, { ...sample, product_name: 'Keyless' })
    assert.equal((await countOf('Keyless'))?.products, 2)
  })

  test('it is the product that is compared, not how it is written', async () => {
    const key = randomUUID()
    const least = { user_id: 7, product_name: 'Written', product_price: 1.5 }
    const headers = { 'idempotency-key': key }
    const first = await post(api.app, least, headers)
    const spellings = [
      '{ "product_price": 1.50,\n "product_name": "Wr\\u0069tten", "user_id": "7" }',
      JSON.stringify({ ...least, product_description: '', product_images: [], unknown: true }),
    ]
    for (const body of spellings) {
      const again = await post(api.app, body, headers)
      assert.deepEqual([again.statusCode, again.body], [201, first.body])
      assert.equal(again.headers['idempotency-replayed'], 'true')
    }
  })

  test('a key that comes with another product is refused, and makes nothing', async () => {
    const key = randomUUID()
    await send(key, { product_name: 'First with key' })
    const others = [
      { product_name: 'Other' },
      { product_name: 'First with key', product_price: 100.01 },
      { product_name: 'First with key', user_id: 'other' },
      { product_name: 'First with key', product_description: '' },
      { product_name: 'First with key', product_images: [] },
    ]
    for (const other of others) {
      const refused = await send(key, other)
      assert.deepEqual([refused.statusCode, refused.json().code], [422, 'idempotency_key_reused'])
      assert.equal(refused.headers.location, undefined)
      assert.equal(refused.headers['idempotency-replayed'], undefined)
    }
    assert.equal((await countOf('First with key'))?.products, 1)
    assert.equal((await countOf('Other'))?.products, 0)
  })

  test('a request that was refused does not use up its key', async () => {
    const key = randomUUID()
    assert.equal((await send(key, { product_price: -1 })).statusCode, 400)
    assert.equal((await send(key, { product_images: ['http://10.0.0.1/'] })).statusCode, 400)
    const made = await send(key)
    assert.deepEqual([made.statusCode, made.headers['idempotency-replayed']], [201, undefined])
  })

  test('a repeat of a product that is gone is a conflict, not a second product', async () => {
    const key = randomUUID()
    const first = await send(key, { product_name: 'Gone' })
    await api.app.inject({ method: 'DELETE', url: String(first.headers.location) })
    const again = await send(key, { product_name: 'Gone' })
    assert.deepEqual([again.statusCode, again.json().code], [409, 'conflict'])
    assert.equal((await countOf('Gone'))?.products, 0)
  })

  test('a key is 1 to 255 visible ASCII characters', async () => {
    for (const key of ['x', '~'.repeat(255), '"quoted"', "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}"]) {
      assert.equal((await send(key)).statusCode, 201, key)
    }
    for (const key of ['', 'a b', 'x'.repeat(256), 'é', 'a\tb', 'a, b']) {
      const refused = await send(key)
      assert.equal(refused.statusCode, 400, JSON.stringify(key))
      assert.equal(refused.json().errors[0].pointer, '/idempotency-key')
    }
  })

  test(`${AT_ONCE} at once make one product, and all are answered with it`, async () => {
    for (let round = 0; round < (engine.name === 'postgres' ? 40 : 10); round++) {
      const [key, product_name] = [randomUUID(), `at once ${round}`]
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, () => send(key, { product_name })),
      )
      assert.deepEqual(
        answers.map(({ statusCode }) => statusCode),
        Array(AT_ONCE).fill(201),
      )
      assert.equal(new Set(answers.map(({ headers }) => headers.location)).size, 1)
      const fresh = answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined)
      assert.equal(fresh.length, 1)
      assert.deepEqual(await countOf(product_name), { products: 1, jobs: 1, events: 2 })
    }
  })

  test('two products at once under one key: one of them, and a refusal of the other', async () => {
    for (let round = 0; round < 10; round++) {
      const key = randomUUID()
      const names = [`either ${round}`, `or ${round}`]
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, n) => send(key, { product_name: names[n % 2] })),
      )
      const made = answers.find(({ statusCode }) => statusCode === 201)?.json().product_name
      answers.forEach(({ statusCode }, n) => {
        assert.equal(statusCode, names[n % 2] === made ? 201 : 422)
      })
      const counts = await Promise.all(names.map(countOf))
      assert.equal(
        counts.reduce((sum, count) => sum + (count?.products ?? 0), 0),
        1,
      )
    }
  })

  test('after a day a key is new again, for one of those who use it at once', async () => {
    const key = randomUUID()
    const first = await send(key, { product_name: 'Yesterday' })
    await expire(key)
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => send(key, { product_name: 'Today' })),
    )
    assert.equal(new Set(answers.map(({ headers }) => headers.location)).size, 1)
    assert.notEqual(answers[0]?.headers.location, first.headers.location)
    assert.equal((await countOf('Today'))?.products, 1)
    assert.equal((await send(key, { product_name: 'Yesterday' })).statusCode, 422)
  })

  test('expired keys are forgotten, the others and all products stay', async () => {
    const [old, young] = [randomUUID(), randomUUID()]
    await send(old, { product_name: 'Old' })
    await send(young, { product_name: 'Young' })
    await expire(old)
    const { db } = api.database.database
    const day = 24 * 60 * 60_000
    assert.ok((await purgeIdempotencyKeys(db, day, new AbortController().signal)) >= 1)
    const { rows } = await sql<{ key: string }>`
      SELECT key FROM idempotency_keys WHERE key IN (${old}, ${young})`.execute(db)
    assert.deepEqual(rows, [{ key: young }])
    assert.equal((await countOf('Old'))?.products, 1)
  })

  test('the key of another principal is another key', async () => {
    const products = createProducts({
      database: api.database.database,
      mediaUrls,
      imageJob,
      checkUrl: () => undefined,
      cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => undefined },
    })
    const create = (principal: string) =>
      products.create(newProduct(), { ...context, idempotency: { principal, key: 'shared' } })
    const [ann, bob] = [await create('ann'), await create('bob')]
    assert.notEqual(ann.id, bob.id)
    assert.deepEqual([ann.isReplay, bob.isReplay], [false, false])
    assert.deepEqual(
      [await create('ann'), await create('bob')].map(({ id, isReplay }) => [id, isReplay]),
      [
        [ann.id, true],
        [bob.id, true],
      ],
    )
  })
})

describeOnPostgres('Idempotency-Key', () => {
  let api: TestApi
  before(async () => {
    api = await openApi({ engine: postgresEngine })
  })
  after(() => api[Symbol.asyncDispose]())

  test('when the first request is rolled back, one of those who wait for it creates', async () => {
    for (let round = 0; round < 20; round++) {
      const key = randomUUID()
      const held = Promise.withResolvers<void>()
      const release = Promise.withResolvers<void>()
      const first = api.database.database.transaction(async (tx) => {
        await sql`INSERT INTO idempotency_keys (principal, key, fingerprint, product_id)
          VALUES ('anonymous', ${key}, 'x', gen_random_uuid())`.execute(tx)
        held.resolve()
        await release.promise
        throw new Error('rolled back')
      })
      await held.promise
      const answers = Promise.all(
        Array.from({ length: 5 }, () => post(api.app, sample, { 'idempotency-key': key })),
      )
      await waitersFor(api, 5)
      release.resolve()
      await assert.rejects(first, /rolled back/)
      const locations = new Set((await answers).map(({ headers }) => headers.location))
      assert.equal(locations.size, 1)
      const fresh = (await answers).filter(({ headers }) => !headers['idempotency-replayed'])
      assert.equal(fresh.length, 1)
    }
  })
})

/** Resolves once so many sessions wait for a lock. */
async function waitersFor({ database: { database } }: TestApi, count: number): Promise<void> {
  await eventually(async () => {
    const { rows } = await sql<{ waiting: number }>`
      SELECT count(*) AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(database.db)
    assert.equal(rows[0]?.waiting, count)
  })
}
