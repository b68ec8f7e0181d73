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

const epoch = '0a1b2c3d'
const edits = (...numbers: number[]) => numbers.map((edit) => ({ edit, epoch }))

test('the edit of our tags counts, in its epoch, in lists, weak or strong', () => {
  assert.deepEqual(expectedEdit('"3-17-0a1b2c3daB_-x9"'), edits(3))
  assert.deepEqual(expectedEdit('W/"3-17-0a1b2c3daB_-x9"'), edits(3))
  assert.deepEqual(expectedEdit('"3-17-ffffffffaB_-x9"'), [{ edit: 3, epoch: 'ffffffff' }])
  const list = '"3-17-0a1b2c3daB_-x9", W/"12-40-0a1b2c3dother1" ,"4-4-0a1b2c3dx-period"'
  assert.deepEqual(expectedEdit(list), edits(3, 12, 4))
  assert.deepEqual(expectedEdit('"3-17-0a1b2c3dx","3-18-0a1b2c3dx"'), edits(3, 3))
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
    '"3-17-aB_-x9"',
    '"3-17-0a1b2c3d"',
    '"-3-17-0a1b2c3dx"',
    '"3-17-0a1b2c3da,b"',
    '"3.0-17-0a1b2c3dx"',
    `"${'9'.repeat(30)}-1-0a1b2c3dx"`,
    '"*"',
    'W/',
  ]
  for (const header of foreign) assert.deepEqual(expectedEdit(header), [], header)
  assert.deepEqual(expectedEdit('"a, 5-5-0a1b2c3dx", "3-17-0a1b2c3dx", nonsense'), edits(3))
})
