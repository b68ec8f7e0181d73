// Temporary credentials: URLs are signed with what is at hand, and that is renewed in time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { S3Client } from '@aws-sdk/client-s3'
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

  context.mock.timers.tick(15 * MINUTE_MS)
  assert.equal(tokenNow(), 'token-1/+')
  context.mock.timers.tick(MINUTE_MS)
  for (let turn = 0; turn < 100 && tokenNow() === 'token-1/+'; turn++)
    await new Promise(setImmediate)
  assert.equal(tokenNow(), 'token-2/+')
  assert.equal(signer.periodEnd(), start + 36 * MINUTE_MS)
})
