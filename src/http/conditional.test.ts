import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noneMatchFails, rangeOf } from './conditional.ts'

const etag = '"2-5-a1b2c3"'

const held = [
  etag,
  `W/${etag}`,
  '*',
  ' * ',
  `"other", ${etag}`,
  `W/"x",W/${etag}`,
  `"a,b", ${etag}`,
]
for (const header of held) {
  test(`If-None-Match: ${header} names it`, () => {
    assert.equal(noneMatchFails(header, etag), true)
  })
}

const other = [undefined, '', '"2-5-a1b2c4"', '2-5-a1b2c3', '"x 2-5-a1b2c3"', 'W/', '"', '"*"']
for (const header of other) {
  test(`If-None-Match: ${header} does not name it`, () => {
    assert.equal(noneMatchFails(header, etag), false)
  })
}

test('a tag that holds a comma is one tag', () => {
  assert.equal(noneMatchFails('"a,b"', '"a,b"'), true)
  assert.equal(noneMatchFails('"a,b"', '"a"'), false)
})

const ranges: [header: string | undefined, expected: ReturnType<typeof rangeOf>][] = [
  [undefined, 'whole'],
  ['bytes=0-99', { start: 0, end: 99 }],
  ['bytes=10-19', { start: 10, end: 19 }],
  ['bytes=10-', { start: 10, end: 99 }],
  ['bytes=10-1000', { start: 10, end: 99 }],
  ['bytes=99-99', { start: 99, end: 99 }],
  ['bytes=-1', { start: 99, end: 99 }],
  ['bytes=-1000', { start: 0, end: 99 }],
  ['Bytes= 0 - 1 ', { start: 0, end: 1 }],
  ['bytes=100-', 'unsatisfiable'],
  ['bytes=100-200', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=99999999999999999999-', 'unsatisfiable'],
  ['bytes=5-4', 'whole'],
  ['bytes=-', 'whole'],
  ['bytes=0-1,3-4', 'whole'],
  ['bytes=a-b', 'whole'],
  ['items=0-1', 'whole'],
  ['bytes=0x1-2', 'whole'],
]
for (const [header, expected] of ranges) {
  test(`Range: ${header} of 100 bytes is ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(rangeOf(header, 100), expected)
  })
}

test('an empty file has no range', () => {
  assert.equal(rangeOf('bytes=0-', 0), 'unsatisfiable')
  assert.equal(rangeOf('bytes=-1', 0), 'unsatisfiable')
})
