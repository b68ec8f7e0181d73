import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPosition, parsePosition } from './position.ts'

test('a position survives being written and read', () => {
  const position = { epoch: '0a1b2c3d', id: 9_007_199_254_740 }
  assert.deepEqual(parsePosition(formatPosition(position)), position)
})

for (const text of [
  '',
  '17',
  '0a1b2c3d-',
  '0a1b2c3d--1',
  '0A1B2C3D-1',
  '0a1b2c3d-1\n',
  '0a1b2c3-12',
  `0a1b2c3d-${'9'.repeat(16)}`,
]) {
  test(`${JSON.stringify(text)} is no position`, () => {
    assert.equal(parsePosition(text), undefined)
  })
}
