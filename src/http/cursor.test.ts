import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError, isAppError } from '../errors.ts'
import type { ProductPosition, ProductSort } from '../products/product-list.ts'
import { decodeCursor, encodeCursor, type ProductListKey } from './cursor.ts'

const position = ['2026-11-20T08:00:00.123456Z', '0199f3c2-0000-7000-8000-000000000001']
const list: ProductListKey = { filter: { userId: '1234', minPrice: '50' }, sort: '-created_at' }
const cursor = encodeCursor(position, list)

const places: [ProductSort, ProductPosition][] = [
  ['created_at', position],
  ['-product_price', ['9999999999.99', position[1] ?? '']],
  ['product_price', ['0.00', position[1] ?? '']],
  ['product_name', ['žluť "\\ 🙂'.repeat(20), position[1] ?? '']],
  ['relevance', ['0.6079271', ...position, ...position]],
  ['relevance', ['1e-20', ...position, ...position]],
  ['relevance', ['0', ...position, ...position]],
  ['relevance', ['1e-45', ...position, ...position]],
  ['relevance', ['9.99e-40', ...position, ...position]],
]
for (const [sort, place] of places) {
  test(`a cursor leads back to its place, at full precision: ${sort} ${place[0]?.slice(0, 20)}`, () => {
    const made = encodeCursor(place, { ...list, sort })
    assert.deepEqual(decodeCursor(made, { ...list, sort }), place)
    assert.match(made, /^[A-Za-z0-9_-]+$/)
  })
}

test('the cursor of the longest name is as long as the query takes', () => {
  const name = '\u0001'.repeat(200)
  const longest = encodeCursor([name, position[1] ?? ''], { ...list, sort: 'product_name' })
  assert.ok(longest.length <= 2_000, String(longest.length))
})

test('under another filter or order it is a mismatch', () => {
  const others: ProductListKey[] = [
    { filter: {}, sort: '-created_at' },
    { filter: { userId: '1234' }, sort: '-created_at' },
    { filter: { userId: '1234', maxPrice: '50' }, sort: '-created_at' },
    { filter: { nameContains: '1234' }, sort: '-created_at' },
    { filter: { words: '1234' }, sort: '-created_at' },
    { filter: { ...list.filter, words: 'chair' }, sort: '-created_at' },
    { filter: { ...list.filter, status: 'failed' }, sort: '-created_at' },
    { filter: list.filter, sort: 'created_at' },
    { filter: list.filter, sort: 'product_price' },
  ]
  for (const other of others) {
    assert.throws(() => decodeCursor(cursor, other), { code: 'cursor_mismatch' })
  }
})

const refused = (text: string) => {
  try {
    decodeCursor(text, list)
    return false
  } catch (error) {
    // Anything but an AppError would be answered with 500.
    if (!(error instanceof AppError)) throw error
    return isAppError(error, 'invalid_cursor', 'cursor_mismatch')
  }
}

test('what we did not make is refused, whatever it is', () => {
  const json = fc.json().map((text) => Buffer.from(text).toString('base64url'))
  const fields = fc
    .array(fc.oneof(fc.string(), fc.constantFrom(...position)))
    .map((values) => Buffer.from(JSON.stringify(values)).toString('base64url'))
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), json, fields), (text) => refused(text)),
    { numRuns: 3_000 },
  )
})

test('a cursor with one character changed, dropped or added is refused', () => {
  const characters = fc.string({ minLength: 0, maxLength: 2 })
  fc.assert(
    fc.property(fc.nat(cursor.length), fc.nat(2), characters, (at, drop, added) => {
      const changed = cursor.slice(0, at) + added + cursor.slice(at + drop)
      fc.pre(changed !== cursor)
      return refused(changed)
    }),
    { numRuns: 3_000 },
  )
})

const [createdAt = '', id = ''] = position
const impossible: [ProductSort, ProductPosition][] = [
  ['-created_at', ['2026-02-30T00:00:00.000000Z', id]],
  ['-created_at', ['2026-11-20T24:00:00.000000Z', id]],
  ['-created_at', ['0000-01-01T00:00:00.000000Z', id]],
  ['-created_at', ['2026-11-20T08:00:00.123Z', id]],
  ['-created_at', ["2026-11-20T08:00:00.123456Z' OR true", id]],
  ['-created_at', [createdAt, '1']],
  ['-created_at', [createdAt]],
  ['-created_at', [createdAt, id, id]],
  ['-created_at', []],
  ['product_price', ['1.2.3', id]],
  ['product_price', ['NaN', id]],
  ['product_price', ['99999999999.99', id]],
  ['product_name', ['a\0b', id]],
  ['product_name', ['\ud800', id]],
  ['relevance', ['Infinity', createdAt, id, createdAt, id]],
  ['relevance', ['1e999', createdAt, id, createdAt, id]],
  ['relevance', ['9e99', createdAt, id, createdAt, id]],
  ['relevance', ['1e38', createdAt, id, createdAt, id]],
  ['relevance', ['9e-99', createdAt, id, createdAt, id]],
  ['relevance', ['1e-46', createdAt, id, createdAt, id]],
  ['relevance', [`0.${'0'.repeat(400)}1`, createdAt, id, createdAt, id]],
  ['relevance', ['-1', createdAt, id, createdAt, id]],
  ['relevance', ['0.5', createdAt, id]],
]
for (const [sort, place] of impossible) {
  test(`a forged place that the database would choke on is refused: ${sort} ${JSON.stringify(place)}`, () => {
    const forged = encodeCursor(place, { ...list, sort })
    assert.throws(() => decodeCursor(forged, { ...list, sort }), { code: 'invalid_cursor' })
  })
}
