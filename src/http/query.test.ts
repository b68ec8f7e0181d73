import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseQuery } from './query.ts'

const cases: [text: string, query: object][] = [
  ['', {}],
  ['a=1&b=2', { a: '1', b: '2' }],
  ['a', { a: '' }],
  ['a=', { a: '' }],
  ['a=b=c', { a: 'b=c' }],
  ['&&a=1&', { a: '1' }],
  ['a=x+y%20z%2B', { a: 'x y z+' }],
  ['a=%C3%A4', { a: 'ä' }],
  ['a=1&a=2&a=3', { a: ['1', '2', '3'] }],
  ['a=%ff', { a: null }],
  ['a=%', { a: null }],
  ['%61=1', { a: '1' }],
  ['%ff=1', {}],
  ['__proto__=1&constructor=2', { ['__proto__']: '1', constructor: '2' }],
]
for (const [text, query] of cases) {
  test(`?${text} is ${JSON.stringify(query)}`, () => {
    assert.deepEqual(Object.entries(parseQuery(text)), Object.entries(query))
  })
}

test('it never throws, and reads back what URLSearchParams writes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      parseQuery(text)
    }),
  )
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), (parameters) => {
      const parsed = parseQuery(new URLSearchParams(parameters).toString())
      assert.deepEqual(Object.entries(parsed), Object.entries(parameters))
    }),
  )
})
