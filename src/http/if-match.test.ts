import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expectedEdit } from './if-match.ts'

test('without the header any edit will do, and nothing is compared', () => {
  assert.equal(expectedEdit(undefined), undefined)
})

test('a star asks for a product, whatever its edit', () => {
  assert.equal(expectedEdit('*'), 'any')
  assert.equal(expectedEdit(' * '), 'any')
})

test('the edit of our tags counts, in lists, weak or strong', () => {
  assert.deepEqual(expectedEdit('"3-17-aB_-x9"'), [3])
  assert.deepEqual(expectedEdit('W/"3-17-aB_-x9"'), [3])
  assert.deepEqual(expectedEdit('"3-17-aB_-x9", W/"12-40-other1" ,"4-4-x"'), [3, 12, 4])
  assert.deepEqual(expectedEdit('"3-17-aB_-x9","3-18-aB_-x9"'), [3, 3])
})

test('what is no tag of ours matches nothing, and hides none of ours', () => {
  const foreign = [
    '',
    ' ',
    '""',
    '"abc"',
    '3-17-aB_-x9',
    '"3"',
    '"3-17"',
    '"-3-17-x"',
    '"3-17-a,b"',
    '"3.0-17-x"',
    `"${'9'.repeat(30)}-1-x"`,
    '"*"',
    'W/',
  ]
  for (const header of foreign) assert.deepEqual(expectedEdit(header), [], header)
  assert.deepEqual(expectedEdit('"a, 5-5-x", "3-17-aB_-x9", nonsense'), [3])
})
