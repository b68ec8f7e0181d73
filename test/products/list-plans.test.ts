// What a page costs in a catalogue of 100,000 products, as PostgreSQL itself counts it: rows that were
// read only to be thrown away, and buffers. And that the ways of reading, which depend on how common
// the matches are, all come to the page that the plainest statement gives.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { type RawBuilder, sql } from 'kysely'
import { openDatabase } from '../../src/database/open.ts'
import { createPresenter } from '../../src/products/product-document.ts'
import type {
  ProductFilter,
  ProductListQuery,
  ProductLists,
  ProductPosition,
  ProductSort,
} from '../../src/products/product-list.ts'
import { conditionsOf } from '../../src/products/product-list-conditions.ts'
import { type Step, searchedPage } from '../../src/products/product-list-pages.ts'
import { listStatement } from '../../src/products/product-list-store.ts'
import { parseWords, searchQuery } from '../../src/products/product-list-words.ts'
import { createProductLists } from '../../src/products/product-lists.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { fillCatalogue } from '../support/large-catalogue.ts'
import { insertRows } from '../support/listed-products.ts'
import { mediaUrls } from '../support/products.ts'

const PRODUCTS = 100_000
const LIMIT = 20

/** Of the ways to a page: rows walked at first, and rows looked up by an index. */
const NEAR = 2_000
const RARE = 5_000

interface PlanNode {
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: PlanNode[]
}

const byDate: ProductSort[] = ['-created_at', 'created_at']
const byPrice: ProductSort[] = ['product_price', '-product_price']
const byName: ProductSort[] = ['product_name', '-product_name']
const every = [...byDate, ...byPrice, ...byName]

interface Case {
  filter: ProductFilter
  sorts: readonly ProductSort[]
}

/** What the index of the order answers alone. */
const exact: Case[] = [
  { filter: {}, sorts: every },
  { filter: { userId: 'u0' }, sorts: every },
  { filter: { userId: 'u700' }, sorts: every },
  { filter: { userId: 'nobody' }, sorts: every },
  { filter: { status: 'completed' }, sorts: byDate },
  { filter: { status: 'failed' }, sorts: byDate },
  { filter: { userId: 'u0', status: 'failed' }, sorts: byDate },
  { filter: { minPrice: '1' }, sorts: byPrice },
  { filter: { minPrice: '10', maxPrice: '10.50' }, sorts: byPrice },
  { filter: { minPrice: '6000' }, sorts: byPrice },
  { filter: { userId: 'u0', minPrice: '100', maxPrice: '110' }, sorts: byPrice },
]

/** For what rows must be looked at: common, rare and in none. */
const searched: Case[] = [
  { filter: { nameContains: 'chair' }, sorts: [...byDate, ...byPrice, 'product_name'] },
  { filter: { nameContains: 'k chair 1' }, sorts: every },
  { filter: { nameContains: 'c4ca42' }, sorts: every },
  { filter: { nameContains: 'zq%' }, sorts: every },
  { filter: { nameContains: '___' }, sorts: every },
  { filter: { userId: 'u1', nameContains: 'a' }, sorts: every },
  { filter: { userId: 'u1', nameContains: 'zq' }, sorts: every },
  { filter: { words: 'kitchen' }, sorts: every },
  { filter: { words: 'kitchen cha' }, sorts: every },
  { filter: { words: 'zebrawood' }, sorts: every },
  { filter: { words: 'nothing' }, sorts: every },
  { filter: { words: 'chair', userId: 'u1' }, sorts: every },
  { filter: { words: 'chair', minPrice: '4000' }, sorts: every },
  { filter: { words: 'zebrawood', nameContains: 'lamp', maxPrice: '100' }, sorts: every },
  { filter: { minPrice: '1' }, sorts: [...byDate, ...byName] },
  { filter: { minPrice: '10', maxPrice: '10.50' }, sorts: [...byDate, ...byName] },
  { filter: { minPrice: '6000' }, sorts: [...byDate, ...byName] },
  { filter: { userId: 'u1', minPrice: '100', maxPrice: '110' }, sorts: [...byDate, ...byName] },
  { filter: { status: 'completed' }, sorts: [...byPrice, ...byName] },
  { filter: { status: 'failed' }, sorts: [...byPrice, ...byName] },
  { filter: { status: 'failed', nameContains: 'chair' }, sorts: every },
]

/** Common, but not where the order starts: the walk goes on to where they are. */
const distant: Case[] = [
  { filter: { words: 'ancient' }, sorts: ['-created_at'] },
  { filter: { nameContains: 'chair' }, sorts: ['-product_name'] },
  // Far more of them than two conditions together let the planner expect.
  { filter: { words: 'the', nameContains: 'chair' }, sorts: ['-product_name'] },
]

/** Common, and all in one place of the order, nine tenths of it further on. */
const together: Case[] = [
  { filter: { nameContains: 'steel' }, sorts: ['product_name'] },
  { filter: { words: 'steel' }, sorts: ['product_name'] },
]

const ranked: Case[] = [
  { filter: { words: 'kitchen' }, sorts: ['relevance'] },
  { filter: { words: 'kitchen cha' }, sorts: ['relevance'] },
  { filter: { words: 'zebrawood' }, sorts: ['relevance'] },
  { filter: { words: 'nothing' }, sorts: ['relevance'] },
  { filter: { words: 'chair', userId: 'u1' }, sorts: ['relevance'] },
]

/** What a page may cost. */
const bounds: [name: string, cases: Case[], bound: { removed: number; buffers: number }][] = [
  // Of a user with a tenth of all products some rows of others are read, which lie in between.
  ['by index alone', exact, { removed: 500, buffers: 100 }],
  ['looked for', searched, { removed: NEAR + RARE, buffers: NEAR + RARE }],
  ['far away', distant, { removed: PRODUCTS, buffers: 15_000 }],
  ['where they stand together', together, { removed: NEAR + RARE, buffers: 15_000 }],
  ['by relevance', ranked, { removed: PRODUCTS, buffers: 5_000 }],
]

describeOnPostgres('lists of 100,000 products', () => {
  let open: TestDatabase
  let lists: ProductLists
  before(async () => {
    open = await postgresEngine.create()
    {
      // One statement, which takes long on a busy machine.
      assert.ok(open.options.engine === 'postgres')
      await using patient = await openDatabase({ ...open.options, statementTimeoutMs: 600_000 })
      await fillCatalogue(patient, PRODUCTS)
    }
    lists = createProductLists(open.database.db, createPresenter(mediaUrls).document)
  })
  after(() => open[Symbol.asyncDispose]())

  /** Of the statement as it is run: one row more than the page. */
  async function costOf(query: ProductListQuery) {
    const statement = listStatement({ ...query, limit: query.limit + 1 })
    const { rows } = await sql<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>`
      EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`.execute(open.database.db)
    const plan = rows[0]?.['QUERY PLAN'][0].Plan
    assert.ok(plan)
    return {
      removed: removedBy(plan),
      buffers: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
    }
  }

  function removedBy(node: PlanNode): number {
    const here =
      (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)
    const below = (node.Plans ?? []).map(removedBy).reduce((sum, one) => sum + one, 0)
    return here * node['Actual Loops'] + below
  }

  /** The first page, and one from further on in the list as far as 500 rows lead there. */
  async function pagesOf(filter: ProductFilter, sort: ProductSort) {
    const first: ProductListQuery = { filter, sort, limit: LIMIT, withTotal: false }
    let after: ProductPosition | undefined
    let offset = 0
    while (offset < 500) {
      const { next } = await lists.list({ ...first, limit: 100, ...(after && { after }) })
      if (!next) break
      after = next
      offset += 100
    }
    return [{ query: first, offset: 0 }, ...(after ? [{ query: { ...first, after }, offset }] : [])]
  }

  /** The same page as plainly as it can be said. */
  async function plainPage({ filter, sort }: ProductListQuery, offset: number): Promise<string[]> {
    const { userId, minPrice, maxPrice, nameContains, words, status } = filter
    const text = sql`product_name || ' ' || product_description`
    const conditions: RawBuilder<unknown>[] = [
      ...(userId ? [sql`user_id = ${userId}`] : []),
      ...(minPrice ? [sql`product_price >= ${minPrice}::numeric`] : []),
      ...(maxPrice ? [sql`product_price <= ${maxPrice}::numeric`] : []),
      ...(nameContains ? [sql`strpos(lower(product_name), ${nameContains}) > 0`] : []),
      ...(words ?? '').split(' ').map((word) => sql`${text} ~* ${`\\m${word}`}`),
      ...(status ? [sql`processing_status = ${status}`] : []),
    ]
    const direction = sql.raw(sort.startsWith('-') ? 'DESC' : 'ASC')
    const key = sql.ref(sort.replace('-', ''))
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM products WHERE ${sql.join(conditions, sql` AND `)}
      ORDER BY ${key} ${sort.includes('name') ? sql`COLLATE "C"` : sql``} ${direction}, id ${direction}
      LIMIT ${LIMIT} OFFSET ${offset}`.execute(open.database.db)
    return rows.map(({ id }) => id)
  }

  const idsOf = async (query: ProductListQuery) =>
    (await lists.list(query)).data.map(({ id }) => id)

  for (const [name, cases, bound] of bounds) {
    describe(`a page ${name}`, () => {
      for (const { filter, sorts } of cases) {
        test(`of ${JSON.stringify(filter)}`, async () => {
          for (const sort of sorts) {
            for (const { query, offset } of await pagesOf(filter, sort)) {
              const { removed, buffers } = await costOf(query)
              const page = `${sort} after ${offset}: ${removed} rows removed, ${buffers} buffers`
              assert.ok(removed <= bound.removed && buffers <= bound.buffers, page)
              if (sort === 'relevance') continue
              assert.deepEqual(await idsOf(query), await plainPage(query, offset), page)
            }
          }
        })
      }
    })
  }

  /** What each step answers when those before it do not, and the walk when none does. */
  const ways: Step[][] = [
    [],
    [{ way: 'walk', rows: PRODUCTS }],
    [{ way: 'look up', rows: PRODUCTS }],
    [
      { way: 'walk', rows: 10 },
      { way: 'look up', rows: PRODUCTS },
    ],
    [
      { way: 'walk', rows: 10 },
      { way: 'look up', rows: 10 },
      { way: 'walk', rows: PRODUCTS },
    ],
    [
      { way: 'walk', rows: 10 },
      { way: 'look up', rows: 10 },
      { way: 'walk', rows: 20 },
      { way: 'look up', rows: PRODUCTS },
    ],
    [
      { way: 'walk', rows: 10 },
      { way: 'look up', rows: 10 },
      { way: 'walk', rows: 20 },
      { way: 'look up', rows: 20 },
    ],
  ]
  test('a page is the same whichever step comes to it', async () => {
    for (const filter of [{ nameContains: 'steel' }, { words: 'steel' }, { words: 'zebrawood' }]) {
      for (const { query, offset } of await pagesOf(filter, 'product_name')) {
        const page = await plainPage(query, offset)
        assert.ok(page.length > 0)
        for (const steps of ways) {
          const parts = searchedPage(query, conditionsOf(filter, query.sort), steps)
          const words = sql`words AS MATERIALIZED (${searchQuery(parseWords(filter.words ?? ''))})`
          const { rows } = await sql<{ id: string }>`
            WITH ${sql.join([words, ...parts.ctes])} ${parts.page}`.execute(open.database.db)
          assert.deepEqual(
            rows.map(({ id }) => id),
            page,
            JSON.stringify([filter, offset, steps]),
          )
        }
      }
    }
  })

  test('a total is counted to 10,000', async () => {
    const total = async (filter: ProductFilter) =>
      (await lists.list({ filter, sort: '-created_at', limit: 1, withTotal: true })).total
    assert.deepEqual(await total({}), { count: 10_000, isMinimum: true })
    assert.deepEqual(await total({ words: 'kitchen' }), { count: 10_000, isMinimum: true })
    assert.deepEqual(await total({ nameContains: 'chair' }), { count: 10_000, isMinimum: true })
    assert.deepEqual(await total({ words: 'ancient' }), { count: 10_000, isMinimum: true })
    assert.deepEqual(await total({ words: 'zebrawood' }), { count: 50, isMinimum: false })
    assert.deepEqual(await total({ status: 'failed' }), { count: 200, isMinimum: false })
  })

  test('by relevance are the newest 10,000 matches, whatever comes while they are paged through', async () => {
    const { db } = open.database
    const filter = { words: 'kitchen' }
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM products WHERE product_description LIKE '%kitchen%'
      ORDER BY created_at DESC, id DESC LIMIT 10000`.execute(db)
    const seen: string[] = []
    let after: ProductPosition | undefined
    for (let page = 0; ; page++) {
      const query = { filter, sort: 'relevance', limit: 100, withTotal: false } as const
      const { data, next } = await lists.list({ ...query, ...(after && { after }) })
      seen.push(...data.map(({ id }) => id))
      if (!next) break
      assert.ok(page < 100)
      after = next
      await insertRows(db, [
        {
          id: randomUUID(),
          userId: 'u0',
          name: 'kitchen',
          description: 'kitchen kitchen',
          price: '1.00',
          status: 'completed',
          createdAt: `2027-01-01T00:00:00.${String(page).padStart(6, '0')}Z`,
        },
      ])
    }
    assert.deepEqual(seen.toSorted(), rows.map(({ id }) => id).toSorted())
  })
})
