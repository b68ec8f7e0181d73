// Paging through a list while others insert and delete: no product twice, and none left out that was
// there all along.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { processingStatuses } from '../../src/products/product.ts'
import { createPresenter } from '../../src/products/product-document.ts'
import {
  type ProductFilter,
  type ProductLists,
  type ProductPosition,
  productSorts,
} from '../../src/products/product-list.ts'
import { createProductLists } from '../../src/products/product-lists.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { deleteRows, insertRows, type ListedRow, orderOf } from '../support/listed-products.ts'
import { mediaUrls } from '../support/products.ts'

const RUNS = 60

/** Few values each, so that most rows tie with others; microseconds apart at the least. */
const row: fc.Arbitrary<ListedRow> = fc.record({
  id: fc.uuid({ version: 7 }),
  userId: fc.constantFrom('a', 'b'),
  name: fc.constantFrom('chair', 'Chair', 'chair_', 'äpfel chair', 'Zebra', '🙂 chair', 'a\\%'),
  description: fc.constantFrom('', 'a red chair', 'chair chair table', 'a table'),
  price: fc.constantFrom('0.00', '9.99', '10.00', '9999999999.99'),
  status: fc.constantFrom(...processingStatuses),
  createdAt: fc.constantFrom(
    '2026-11-20T08:00:00.000001Z',
    '2026-11-20T08:00:00.000002Z',
    '2026-11-20T08:00:00.100000Z',
  ),
})

const filter: fc.Arbitrary<ProductFilter> = fc.oneof(
  fc.constant({}),
  fc.constantFrom<ProductFilter>(
    { userId: 'a' },
    { minPrice: '9.99', maxPrice: '10' },
    { status: 'failed' },
    { userId: 'b', status: 'completed' },
    { nameContains: 'HAI' },
    { userId: 'a', nameContains: '_' },
    { words: 'chair' },
    { words: 'red or tab', minPrice: '5' },
  ),
)

const selects: Record<keyof ProductFilter, (row: ListedRow, value: string) => boolean> = {
  userId: (one, value) => one.userId === value,
  minPrice: (one, value) => Number(one.price) >= Number(value),
  maxPrice: (one, value) => Number(one.price) <= Number(value),
  status: (one, value) => one.status === value,
  nameContains: (one, value) => one.name.toLowerCase().includes(value.toLowerCase()),
  words: ({ name, description }, value) => {
    const found = value === 'chair' ? /chair/i : /red|table/
    return found.test(name) || found.test(description)
  },
}
const isSelected = (one: ListedRow, by: ProductFilter) =>
  Object.entries(by).every(([name, value]) => selects[name as keyof ProductFilter](one, value))

/** What happens between two pages. */
const interlude = fc.record({
  inserted: fc.array(row, { maxLength: 4 }),
  deleted: fc.array(fc.nat(), { maxLength: 3 }),
})

describeOnEachDatabase('paging', (engine) => {
  let open: TestDatabase
  let lists: ProductLists
  before(async () => {
    open = await engine.create()
    lists = createProductLists(open.database.db, createPresenter(mediaUrls).document)
  })
  after(() => open[Symbol.asyncDispose]())

  /** Pages to the end; returns the ids as they came, and what became of the table. */
  async function pageThrough(
    rows: readonly ListedRow[],
    query: Omit<Parameters<ProductLists['list']>[0], 'after' | 'withTotal'>,
    interludes: readonly { inserted: ListedRow[]; deleted: number[] }[],
  ) {
    const { db } = open.database
    await sql`TRUNCATE products CASCADE`.execute(db)
    await insertRows(db, rows)
    const known = new Map(rows.map((one) => [one.id, one]))
    const gone = new Set<string>()
    const seen: string[] = []
    let position: ProductPosition | undefined
    for (let page = 0; ; page++) {
      const { data, next } = await lists.list({
        ...query,
        withTotal: false,
        ...(position && { after: position }),
      })
      assert.ok(data.length <= query.limit)
      assert.ok(page < 200, 'the list does not end')
      seen.push(...data.map(({ id }) => id))
      if (!next) return { known, gone, seen }
      assert.equal(data.length, query.limit, 'only the last page may be short')
      position = next
      const { inserted = [], deleted = [] } = interludes[page] ?? {}
      const ids = [...known.keys()]
      const dropped = deleted.flatMap((at) => ids[at % ids.length] ?? [])
      await deleteRows(db, dropped)
      for (const id of dropped) gone.add(id)
      await insertRows(db, inserted)
      for (const one of inserted) known.set(one.id, one)
    }
  }

  test('nothing comes twice, and nothing that was there all along is left out', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(row, { maxLength: 30, selector: ({ id }) => id }),
        fc.constantFrom(...productSorts),
        filter,
        fc.integer({ min: 1, max: 7 }),
        fc.array(interlude, { maxLength: 6 }),
        async (rows, sort, given, limit, interludes) => {
          const by = sort === 'relevance' ? { words: 'chair', ...given } : given
          const { known, gone, seen } = await pageThrough(
            rows,
            { filter: by, sort, limit },
            interludes,
          )
          assert.equal(new Set(seen).size, seen.length, 'a product came twice')
          const expected = rows.filter((one) => isSelected(one, by) && !gone.has(one.id))
          const missing = expected.filter(({ id }) => !seen.includes(id))
          assert.deepEqual(missing, [], 'a product was left out')
          const listed = seen.map((id) => known.get(id) as ListedRow)
          assert.ok(listed.every((one) => isSelected(one, by)))
          if (sort !== 'relevance') assert.deepEqual(listed, listed.toSorted(orderOf(sort)))
        },
      ),
      { numRuns: RUNS },
    )
  })
})
