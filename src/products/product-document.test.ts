import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageStatus } from '../images/image.ts'
import { processingStatus } from './product-document.ts'

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
