import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageStatus } from '../images/image.ts'
import { processingStatus, saltOf } from './product-document.ts'

const cases: [ImageStatus[], string][] = [
  [[], 'completed'],
  [['ready', 'ready'], 'completed'],
  [['ready', 'queued'], 'processing'],
  [['failed', 'retry_scheduled'], 'processing'],
  [['ready', 'failed'], 'partial'],
  [['failed', 'failed'], 'failed'],
]

for (const [images, expected] of cases) {
  test(`a product whose pictures are [${images}] is ${expected}`, () => {
    assert.equal(processingStatus(images), expected)
  })
}

test('every setting that shows in URLs is in the salt', () => {
  const shown = [
    { base: 'https://shop.example/', signing: undefined },
    { base: 'https://other.example/', signing: undefined },
    { base: 'https://shop.example/', signing: 'eu-west-1 60000' },
    { base: 'https://shop.example/', signing: 'eu-west-1 120000' },
  ]
  assert.equal(new Set(shown.map(saltOf)).size, shown.length)
})
