import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatArray, parseArray } from './arrays.ts'

const read = (text: string) => text

describe('arrays as PostgreSQL writes them', () => {
  test('what is written is read back, whatever the texts hold', () => {
    const item = fc.option(fc.oneof(fc.string(), fc.constantFrom('NULL', '', '"', '\\', '{', ',')))
    fc.assert(
      fc.property(fc.array(item), (items) => {
        assert.deepEqual(parseArray(formatArray(items, String), read), items)
      }),
      { numRuns: 500 },
    )
  })

  test('lists within lists keep their shape', () => {
    const items = [
      ['a', null],
      ['b', 'c'],
    ]
    assert.equal(formatArray(items, String), '{{"a",NULL},{"b","c"}}')
    assert.deepEqual(parseArray('{{a,NULL},{b,c}}', read), items)
    assert.deepEqual(parseArray('{}', read), [])
  })

  test('items are read by their own parser', () => {
    assert.deepEqual(parseArray('{1,NULL,-2.5}', Number), [1, null, -2.5])
  })

  test('what is no array is refused', () => {
    for (const text of ['', 'a', '{a', 'a}', '{a}}', '{"a}', '[0:1]={a,b}', '{}{}'])
      assert.throws(() => parseArray(text, read), /not an array/, text)
  })
})
