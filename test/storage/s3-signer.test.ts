// Temporary credentials: URLs are signed with what is at hand, and that is renewed in time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { S3Client } from '@aws-sdk/client-s3'
import { createMediaUrls } from '../../src/images/media-urls.ts'
import { createPresenter } from '../../src/products/product-document.ts'
import type { StoredProduct } from '../../src/products/product-store.ts'
import { openSigner } from '../../src/storage/s3-signer.ts'

const MINUTE_MS = 60_000

test('temporary credentials are renewed before their end, which URLs do not outlive', async (context) => {
  const start = Date.UTC(2026, 0, 1)
  context.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: start })
  let generation = 0
  const client = new S3Client({
    region: 'eu-west-1',
    credentials: async () => ({
      accessKeyId: `key-${++generation}`,
      secretAccessKey: 'secret',
      sessionToken: `token-${generation}/+`,
      expiration: new Date(Date.now() + 20 * MINUTE_MS),
    }),
  })
  using signer = await openSigner({
    client,
    region: 'eu-west-1',
    urlPrefix: 'https://shop.example.com/',
    lifetimeMs: 120 * MINUTE_MS,
  })
  const tokenNow = () => new URL(signer.sign('a.jpg')).searchParams.get('X-Amz-Security-Token')
  assert.match(signer.form, /eu-west-1.*7200000/)
  assert.equal(tokenNow(), 'token-1/+')
  assert.equal(signer.periodEnd(), start + 20 * MINUTE_MS)
  const firstId = signer.periodId()

  context.mock.timers.tick(15 * MINUTE_MS)
  assert.equal(tokenNow(), 'token-1/+')
  context.mock.timers.tick(MINUTE_MS)
  for (let turn = 0; turn < 100 && tokenNow() === 'token-1/+'; turn++)
    await new Promise(setImmediate)
  assert.equal(tokenNow(), 'token-2/+')
  assert.equal(signer.periodEnd(), start + 36 * MINUTE_MS)
  assert.notEqual(signer.periodId(), firstId)
})

test('one entity tag stands for the same bytes, whichever key signs the URLs, and in whichever period', async (context) => {
  context.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) })
  await using stack = new AsyncDisposableStack()
  const presenterWith = async (accessKeyId: string) => {
    const credentials = { accessKeyId, secretAccessKey: 'secret' }
    const client = stack.adopt(new S3Client({ credentials }), (opened) => opened.destroy())
    const urlPrefix = 'https://shop.example.com/'
    const options = { client, region: 'eu-west-1', urlPrefix, lifetimeMs: 2 * MINUTE_MS }
    const signer = stack.use(await openSigner(options))
    return createPresenter(createMediaUrls({ storage: { urlPrefix, signer }, publicUrl: '' }))
  }
  const [one, same, other] = await Promise.all(['key', 'key', 'other'].map(presenterWith))
  const shown = (presenter = one) => {
    const { body, etag } = presenter?.represent(product) ?? {}
    return [String(body), etag]
  }
  const [body, etag] = shown(one)
  assert.deepEqual(shown(same), [body, etag])
  const [otherBody, otherEtag] = shown(other)
  assert.notEqual(otherBody, body)
  assert.notEqual(otherEtag, etag)
  context.mock.timers.tick(MINUTE_MS)
  const [laterBody, laterEtag] = shown(one)
  assert.notEqual(laterBody, body)
  assert.notEqual(laterEtag, etag)
})

const product: StoredProduct = {
  id: '01a1ff13-21d2-70b5-a674-4a4f7e246fd3',
  user_id: '1',
  product_name: 'Lamp',
  product_description: '',
  product_price: '1',
  processing_status: 'completed',
  version: 2,
  edit: 1,
  epoch: '0a1b2c3d',
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
  images: [
    {
      id: '01a1ff13-21d2-70b5-a674-4c3bae954d8f',
      position: 0,
      source_url: 'https://shop.example.com/lamp.jpg',
      status: 'ready',
      width: 1,
      height: 1,
      bytes: 1,
      format: 'jpeg',
      thumbhash: null,
      attempts: 1,
      max_attempts: 8,
      next_attempt_at: null,
      error: null,
      renditions: [
        { preset: 'default', key: 'a.jpg', width: 1, height: 1, bytes: 1, format: 'jpeg' },
      ],
    },
  ],
}
