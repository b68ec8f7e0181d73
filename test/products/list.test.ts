// What lists select, in which order, and what a search finds.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { openDatabase } from '../../src/database/open.ts'
import { createPresenter } from '../../src/products/product-document.ts'
import {
  type ProductFilter,
  type ProductLists,
  productSorts,
} from '../../src/products/product-list.ts'
import { createProductLists } from '../../src/products/product-lists.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { insertRows, type ListedRow, orderOf } from '../support/listed-products.ts'
import { mediaUrls } from '../support/products.ts'

const rows: ListedRow[] = [
  ['Oak chair', 'For the kitchen; chairs like it are organized in rows.', '49.99', 'completed'],
  ['Folding chair', 'Steel, with a wi-fi speaker.', '50.00', 'processing'],
  ['oak table', 'The runner beside it is linen.', '200.00', 'partial'],
  ['Zebra rug', 'Not a chair.', '200.01', 'failed'],
  ['äpfel_50%', 'Ein Korb.', '0.00', 'completed'],
  ['Lamp ___', 'Version 3.14 by O’Neil & sons (vitrine.example).', '9999999999.99', 'completed'],
  ['The Who', 'A poster.', '10.00', 'completed'],
].map(([name = '', description = '', price = '', status], at) => ({
  id: `0199f3c2-0000-7000-8000-00000000000${at}`,
  userId: at < 4 ? 'furniture' : 'rest',
  name,
  description,
  price,
  status: status as ListedRow['status'],
  createdAt: `2026-11-20T08:00:00.00000${at}Z`,
}))

const words = (typed: string): ProductFilter => ({ words: typed })

describeOnEachDatabase('a list', (engine) => {
  let open: TestDatabase
  let lists: ProductLists
  before(async () => {
    open = await engine.create()
    lists = createProductLists(open.database.db, createPresenter(mediaUrls).document)
    await insertRows(open.database.db, rows)
  })
  after(() => open[Symbol.asyncDispose]())

  const names = async (filter: ProductFilter) => {
    const { data } = await lists.list({ filter, sort: 'created_at', limit: 100, withTotal: false })
    return data.map((product) => product.product_name)
  }

  for (const sort of productSorts.filter((one) => one !== 'relevance')) {
    test(`by ${sort} is in the order of bytes, ties by id`, async () => {
      const twins = rows.map((row) => ({ ...row, id: row.id.replace('7000', '7001') }))
      const everything = [...rows, ...twins]
      await using own = await engine.create()
      await insertRows(own.database.db, everything)
      const ordered = createProductLists(own.database.db, createPresenter(mediaUrls).document)
      const { data } = await ordered.list({ filter: {}, sort, limit: 100, withTotal: false })
      assert.deepEqual(
        data.map(({ id }) => id),
        everything.toSorted(orderOf(sort)).map(({ id }) => id),
      )
    })
  }

  const selections: [filter: ProductFilter, names: string[]][] = [
    [{ userId: 'rest', minPrice: '0.01' }, ['Lamp ___', 'The Who']],
    [{ minPrice: '49.99', maxPrice: '50' }, ['Oak chair', 'Folding chair']],
    [{ minPrice: '200.005' }, ['Zebra rug', 'Lamp ___']],
    [{ minPrice: '60', maxPrice: '50' }, []],
    [{ nameContains: 'CHAIR' }, ['Oak chair', 'Folding chair']],
    [{ nameContains: '___' }, ['Lamp ___']],
    [{ nameContains: '%%%' }, []],
    [{ nameContains: '_50%' }, ['äpfel_50%']],
    [{ nameContains: 'p ___' }, ['Lamp ___']],
    [{ nameContains: '\\\\\\' }, []],
    [{ nameContains: 'äpf' }, ['äpfel_50%']],
    [{ userId: 'rest', nameContains: '%' }, ['äpfel_50%']],
    [{ userId: 'rest', nameContains: 'ä' }, ['äpfel_50%']],
    [{ status: 'partial' }, ['oak table']],
    [{ status: 'completed', userId: 'furniture' }, ['Oak chair']],
    [{ status: 'completed', words: 'chair' }, ['Oak chair']],
    [{ words: 'oak', nameContains: 'table', maxPrice: '200' }, ['oak table']],
    [{ userId: 'nobody' }, []],
  ]
  for (const [filter, expected] of selections) {
    test(`of ${JSON.stringify(filter)} holds ${expected.join(', ') || 'nothing'}`, async () => {
      assert.deepEqual(await names(filter), expected)
    })
  }

  const searches: [typed: string, names: string[]][] = [
    ['chair', ['Oak chair', 'Folding chair', 'Zebra rug']],
    ['CHAIRS', ['Oak chair', 'Folding chair', 'Zebra rug']],
    ['cha', ['Oak chair', 'Folding chair', 'Zebra rug']],
    ['oak cha', ['Oak chair']],
    ['chair oak', ['Oak chair']],
    ['"folding chair"', ['Folding chair']],
    ['"chair folding"', []],
    ['chair -oak', ['Folding chair', 'Zebra rug']],
    ['chair -"oak chair"', ['Folding chair', 'Zebra rug']],
    ['oak or zebra', ['Oak chair', 'oak table', 'Zebra rug']],
    ['zebra or oak tab', ['oak table', 'Zebra rug']],
    ['organizing', ['Oak chair']],
    ['running', []],
    ['runners', ['oak table']],
    ['wi-fi', ['Folding chair']],
    ['wi-f', ['Folding chair']],
    ['3.1', ['Lamp ___']],
    ['vitrine.ex', ['Lamp ___']],
    ['äpfel', ['äpfel_50%']],
    ['the who', ['The Who']],
    ['the', ['Oak chair', 'oak table', 'The Who']],
    ['the chair', ['Oak chair', 'Folding chair', 'Zebra rug']],
    ['chair the', ['Oak chair', 'Folding chair', 'Zebra rug']],
    ['', []],
    [' ', []],
    ['!!! & | ()', []],
    ['🙂', []],
    ['-chair', []],
    ['-chair -table', []],
    ['zebra or -oak', []],
    ['the -chair', ['oak table', 'The Who']],
  ]
  for (const [typed, expected] of searches) {
    test(`searched for ${JSON.stringify(typed)} holds ${expected.join(', ') || 'nothing'}`, async () => {
      assert.deepEqual(await names(words(typed)), expected)
    })
  }

  test('no text is an error, however long or odd', async () => {
    const odd = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc
        .array(
          fc.constantFrom(
            'a',
            '"',
            "'",
            '\\',
            ':*',
            '!',
            '-',
            '&',
            '|',
            '<->',
            '(',
            ')',
            ' ',
            'or',
            '🙂',
          ),
        )
        .map((parts) => parts.join('')),
    )
    const search = async (typed: string) => {
      const filter = words(typed.replaceAll('\0', ''))
      for (const sort of ['-created_at', 'relevance'] as const) {
        await lists.list({ filter, sort, limit: 5, withTotal: true })
      }
    }
    await fc.assert(fc.asyncProperty(odd, search), { numRuns: 200 })
    const long = ['a'.repeat(10_000), 'a '.repeat(5_000), 'a-'.repeat(5_000), '"a'.repeat(5_000)]
    // In lower case these have more bytes.
    const growing = ['Ⱥ', 'İ', 'aȺ', 'ȺI', 'Ⱥ\ufeff', 'Ⱥ\u0301', 'Ა', 'ﬃ', '\u212a', 'ẞ', '𐐀']
    for (const part of growing)
      long.push(part.repeat(700), `-${part.repeat(700)}`, `"oak ${part.repeat(700)} b" c`)
    for (const typed of [
      ...long,
      `${'ž'.repeat(3_000)}:*`,
      '!'.repeat(10_000),
      'a or '.repeat(2_500),
    ]) {
      await search(typed)
    }
  })

  test('by relevance comes first what says it in its name, and often', async () => {
    const { data } = await lists.list({
      filter: words('chair'),
      sort: 'relevance',
      limit: 10,
      withTotal: false,
    })
    assert.deepEqual(
      data.map((product) => product.product_name),
      ['Oak chair', 'Folding chair', 'Zebra rug'],
    )
  })

  test('the total is of the filter, whatever the page', async () => {
    const total = async (filter: ProductFilter, sort: (typeof productSorts)[number], limit = 1) =>
      (await lists.list({ filter, sort, limit, withTotal: true })).total
    for (const sort of productSorts.filter((one) => one !== 'relevance')) {
      assert.deepEqual(await total({}, sort), { count: 7, isMinimum: false })
      assert.deepEqual(await total({ words: 'chair' }, sort), { count: 3, isMinimum: false })
      assert.deepEqual(await total({ status: 'failed' }, sort), { count: 1, isMinimum: false })
      assert.deepEqual(await total({ userId: 'nobody' }, sort), { count: 0, isMinimum: false })
    }
    assert.deepEqual(await total(words('chair'), 'relevance'), { count: 3, isMinimum: false })
    assert.deepEqual(await total(words('none'), 'relevance'), { count: 0, isMinimum: false })
    const first = await lists.list({ filter: {}, sort: 'created_at', limit: 5, withTotal: true })
    assert.ok(first.next)
    const second = await lists.list({
      filter: {},
      sort: 'created_at',
      limit: 5,
      after: first.next,
      withTotal: true,
    })
    assert.deepEqual(second.total, first.total)
    assert.equal(second.data.length, 2)
  })

  test('is read in one statement, its total included', async () => {
    // The embedded folder is locked by its one process, so there the count starts on a new one.
    const statements: string[] = []
    await using own = await engine.create()
    await insertRows(own.database.db, rows)
    await own.database[Symbol.asyncDispose]()
    await using counted = await openDatabase({
      ...own.options,
      onStatement: (text) => statements.push(text),
    })
    const counting = createProductLists(counted.db, createPresenter(mediaUrls).document)
    for (const sort of productSorts) {
      for (const filter of [
        {},
        { userId: 'rest' },
        { status: 'failed' as const },
        { minPrice: '1' },
      ]) {
        for (const withTotal of [false, true]) {
          statements.length = 0
          await counting.list({ filter: { ...filter, words: 'chair' }, sort, limit: 2, withTotal })
          assert.equal(statements.length, 1)
        }
      }
      statements.length = 0
      if (sort !== 'relevance') {
        await counting.list({ filter: {}, sort, limit: 2, withTotal: true })
        assert.equal(statements.length, 1)
      }
    }
  })
})
