// Names sort and are found alike whatever locale the database was made with.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { migrate } from '../../src/database/migrate.ts'
import { openDatabase } from '../../src/database/open.ts'
import { createPresenter } from '../../src/products/product-document.ts'
import type { ProductLists } from '../../src/products/product-list.ts'
import { createProductLists } from '../../src/products/product-lists.ts'
import { describeOnPostgres } from '../support/database.ts'
import { insertRows } from '../support/listed-products.ts'
import { mediaUrls } from '../support/products.ts'

const names = ['a', 'B', 'Z', '_', 'b', 'É', 'é', 'ab', 'a b', '🙂']

describeOnPostgres('lists of a database that sorts as people do', () => {
  const stack = new AsyncDisposableStack()
  let lists: ProductLists
  before(async () => {
    const server = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL })
    await server.connect()
    stack.defer(() => server.end())
    const name = `vitrine_test_${randomUUID().replaceAll('-', '')}`
    await server.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'
      LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'`)
    stack.defer(async () => void (await server.query(`DROP DATABASE ${name} WITH (FORCE)`)))
    const url = new URL(process.env.TEST_DATABASE_URL ?? '')
    url.pathname = `/${name}`
    const connection = { connectionString: url.href }
    const database = stack.use(await openDatabase({ engine: 'postgres', connection, poolSize: 2 }))
    await migrate(database)
    const row = { userId: 'a', description: '', price: '1.00', status: 'completed' } as const
    await insertRows(
      database.db,
      names.map((name, at) => ({
        ...row,
        name,
        id: `0199f3c2-0000-7000-8000-00000000000${at}`,
        createdAt: '2026-11-20T08:00:00.000000Z',
      })),
    )
    lists = createProductLists(database.db, createPresenter(mediaUrls).document)
  })
  after(() => stack.disposeAsync())

  test('names come in the order of bytes, page by page', async () => {
    const bytewise = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    for (const [sort, expected] of [
      ['product_name', bytewise],
      ['-product_name', bytewise.toReversed()],
    ] as const) {
      const seen: string[] = []
      let next: readonly string[] | undefined
      do {
        const page = await lists.list({
          filter: {},
          sort,
          limit: 3,
          withTotal: false,
          ...(next && { after: next }),
        })
        seen.push(...page.data.map((product) => product.product_name))
        next = page.next
      } while (next)
      assert.deepEqual(seen, expected)
    }
  })

  test('any case is any letter’s case', async () => {
    const filter = { userId: 'a', nameContains: 'É' }
    const { data } = await lists.list({ filter, sort: 'created_at', limit: 9, withTotal: false })
    assert.deepEqual(
      data.map((product) => product.product_name),
      ['É', 'é'],
    )
  })
})
