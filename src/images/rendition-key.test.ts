import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { STORAGE_KEY } from '../storage/storage.ts'
import { freshRenditionKey, RENDITION_KEY } from './rendition-key.ts'

test('a key is one of a storage, has the form of its kind and is never made twice', () => {
  const sourceSha256 = createHash('sha256').update('a picture').digest('hex')
  const kinds: [preset: string, format: string][] = [
    ['default', 'jpeg'],
    ['small', 'webp'],
    ['large-2x', 'avif'],
    ['cover_3', 'png'],
  ]
  for (const [preset, format] of kinds) {
    const [one, two] = [1, 2].map(() => freshRenditionKey({ sourceSha256, preset, format }))
    assert.match(one ?? '', RENDITION_KEY)
    assert.match(one ?? '', STORAGE_KEY)
    assert.notEqual(one, two)
  }
})
