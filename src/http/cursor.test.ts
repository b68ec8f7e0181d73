import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError, isAppError } from '../errors.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

const position = {
  createdAt: '2026-11-20T08:00:00.123456Z',
  id: '0199f3c2-0000-7000-8000-000000000001',
}
const filter = { userId: '1234', minPrice: '50' }
const cursor = encodeCursor(position, filter)

test('a cursor leads back to its place, to the microsecond', () => {
  assert.deepEqual(decodeCursor(cursor, filter), position)
  assert.match(cursor, /^[A-Za-z0-9_-]+$/)
})

test('under another filter it is a mismatch', () => {
  const others = [
    {},
    { userId: '1234' },
    { userId: '1234', maxPrice: '50' },
    { nameContains: '1234' },
  ]
  for (const other of others) {
    assert.throws(() => decodeCursor(cursor, other), { code: 'cursor_mismatch' })
  }
})

const refused = (text: string) => {
  try {
    decodeCursor(text, filter)
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
    .array(fc.oneof(fc.string(), fc.constant(position.id), fc.constant(position.createdAt)))
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

const impossible = [
  { ...position, createdAt: '2026-02-30T00:00:00.000000Z' },
  { ...position, createdAt: '2026-11-20T24:00:00.000000Z' },
  { ...position, createdAt: '0000-01-01T00:00:00.000000Z' },
  { ...position, createdAt: '2026-11-20T08:00:00.123Z' },
  { ...position, createdAt: "2026-11-20T08:00:00.123456Z' OR true" },
  { ...position, id: '1' },
]
for (const place of impossible) {
  test(`a forged place that the database would choke on is refused: ${place.createdAt} ${place.id}`, () => {
    assert.throws(() => decodeCursor(encodeCursor(place, filter), filter), {
      code: 'invalid_cursor',
    })
  })
}
