// Long answers are compressed for whom takes it; what they are does not depend on it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { openApi, post, sample, type TestApi } from '../support/api.ts'

let api: TestApi
before(async () => {
  api = await openApi()
  for (let at = 0; at < 30; at++) {
    await post(api.app, { ...sample, product_description: `${at} `.repeat(500) })
  }
})
after(() => api[Symbol.asyncDispose]())

const get = (url: string, headers: Record<string, string> = {}) => api.app.inject({ url, headers })

const codings: [accepted: string, coding: 'br' | 'gzip' | undefined][] = [
  ['br', 'br'],
  ['gzip', 'gzip'],
  ['gzip, deflate, br, zstd', 'br'],
  ['br;q=0.1, gzip;q=0.9', 'gzip'],
  ['*', 'gzip'],
  ['identity', undefined],
  ['zstd', undefined],
  ['br;q=0', undefined],
  ['', undefined],
  ['nonsense;;q=', undefined],
]
const decoders = { br: brotliDecompressSync, gzip: gunzipSync }

for (const url of ['/products?limit=30', '/openapi.json', '/docs/static/swagger-ui.css']) {
  for (const [accepted, coding] of codings) {
    test(`${url} for who accepts "${accepted}" is sent ${coding ? `in ${coding}` : 'as it is'}`, async () => {
      const plain = await get(url)
      const answer = await get(url, { 'accept-encoding': accepted })
      assert.equal(answer.statusCode, 200)
      assert.equal(answer.headers['content-encoding'], coding)
      assert.equal(answer.headers.vary, 'accept-encoding')
      const bytes = answer.rawPayload
      if (coding) assert.ok(bytes.length < plain.rawPayload.length / 3)
      assert.deepEqual(coding ? decoders[coding](bytes) : bytes, plain.rawPayload)
      assert.equal(answer.headers['content-type'], plain.headers['content-type'])
      assert.equal(answer.headers.etag, plain.headers.etag)
    })
  }
}

test('an entity tag that stands for every coding is weak, and still saves sending it again', async () => {
  for (const url of ['/products?limit=30', '/openapi.json', '/docs/static/swagger-ui.css']) {
    const { headers } = await get(url, { 'accept-encoding': 'br' })
    assert.match(String(headers.etag), /^W\/"/)
    for (const accepted of ['br', 'identity']) {
      const again = await get(url, {
        'accept-encoding': accepted,
        'if-none-match': String(headers.etag),
      })
      assert.deepEqual([again.statusCode, again.rawPayload.length], [304, 0])
      assert.deepEqual([again.headers.etag, again.headers.vary], [headers.etag, 'accept-encoding'])
      assert.equal(again.headers['content-encoding'], undefined)
    }
  }
})

test('an answer that is short stays as it is', async () => {
  const { headers } = await get('/products?limit=1&user_id=nobody', { 'accept-encoding': 'br' })
  assert.deepEqual([headers['content-encoding'], headers.vary], [undefined, 'accept-encoding'])
})

test('HEAD says what GET would say, without a body', async () => {
  const { headers, rawPayload, statusCode } = await api.app.inject({
    method: 'HEAD',
    url: '/products?limit=30',
    headers: { 'accept-encoding': 'br' },
  })
  const plain = await get('/products?limit=30')
  assert.deepEqual([statusCode, rawPayload.length], [200, 0])
  assert.deepEqual([headers.etag, headers.vary], [plain.headers.etag, plain.headers.vary])
})

test('one product is sent as it is: its bytes are ready, and its tag is strong', async () => {
  const created = await post(api.app, { ...sample, product_description: 'x'.repeat(5_000) })
  const { headers } = await get(`/products/${created.json().id}`, { 'accept-encoding': 'br' })
  assert.equal(headers['content-encoding'], undefined)
  assert.match(String(headers.etag), /^"/)
  assert.equal(headers.vary, undefined)
})

test('a problem in the place of a list is one', async () => {
  const { statusCode, headers } = await get('/products?limit=x', { 'accept-encoding': 'br' })
  assert.deepEqual([statusCode, headers['content-type']], [400, 'application/problem+json'])
})

test('a body that is compressed is refused, there too', async () => {
  const { statusCode } = await post(api.app, sample, { 'content-encoding': 'gzip' })
  assert.equal(statusCode, 415)
})
