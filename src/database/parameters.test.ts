import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeParameters } from './parameters.ts'

describe('parameters', () => {
  test('every value becomes the text that PostgreSQL reads', () => {
    const values = [null, 'a', '', 1.5, -0, 10n, true, new Date('2026-11-20T08:00:00.5Z')]
    assert.deepEqual(encodeParameters(values), [
      null,
      'a',
      '',
      '1.5',
      '0',
      '10',
      'true',
      '2026-11-20T08:00:00.500Z',
    ])
  })

  test('lists become arrays, other objects JSON, bytes hex', () => {
    const values = [
      ['a', null, 'b"c'],
      [1, 2],
      [],
      [{ a: 1 }],
      { a: [1] },
      new Uint8Array([1, 255]),
    ]
    assert.deepEqual(encodeParameters(values), [
      '{"a",NULL,"b\\"c"}',
      '{"1","2"}',
      '{}',
      '{"{\\"a\\":1}"}',
      '{"a":[1]}',
      '\\x01ff',
    ])
  })

  test('a value that is missing by mistake is refused and named, not sent as NULL', () => {
    assert.throws(() => encodeParameters(['a', undefined]), /parameter \$2 cannot be sent/)
    assert.throws(() => encodeParameters([['a', undefined]]), /parameter \$1/)
    assert.throws(() => encodeParameters([() => 1]), /parameter \$1/)
    assert.throws(() => encodeParameters([new Date(Number.NaN)]), /parameter \$1/)
  })
})
