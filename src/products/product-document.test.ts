import assert from 'node:assert/strict'
import { test } from 'node:test'
import { saltOf } from './product-document.ts'

test('every setting that shows in URLs is in the salt', () => {
  const shown = [
    { base: 'https://shop.example/', signing: undefined },
    { base: 'https://other.example/', signing: undefined },
    { base: 'https://shop.example/', signing: 'eu-west-1 60000' },
    { base: 'https://shop.example/', signing: 'eu-west-1 120000' },
  ]
  assert.equal(new Set(shown.map(saltOf)).size, shown.length)
})
