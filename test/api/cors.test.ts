// Pages of other origins, as browsers ask for them.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'

const SHOP = 'https://shop.example'

function preflight({ app }: TestApi, url: string, method: string, origin = SHOP) {
  return app.inject({
    method: 'OPTIONS',
    url,
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'content-type,if-match,prefer',
    },
  })
}

/** The names in a list of fields or methods. */
function namesIn(header: unknown): string[] {
  return String(header).split(', ')
}

function corsHeadersOf(headers: object): string[] {
  return Object.keys(headers).filter((name) => name.startsWith('access-control-'))
}

describe('with origins that are named', () => {
  let api: TestApi
  before(async () => {
    api = await openApi({ corsOrigins: [SHOP, 'http://localhost:5173'] })
  })
  after(() => api[Symbol.asyncDispose]())

  test('their pages may read answers and what clients need of the headers', async () => {
    for (const origin of [SHOP, 'http://localhost:5173']) {
      const { headers } = await post(api.app, sample, { origin })
      assert.equal(headers['access-control-allow-origin'], origin)
      assert.equal(headers['access-control-allow-credentials'], undefined)
      assert.equal(headers.vary, 'Origin')
      const exposed = namesIn(headers['access-control-expose-headers'])
      for (const name of ['ETag', 'Location', 'X-Request-Id', 'Link', 'Retry-After']) {
        assert.ok(exposed.includes(name), name)
      }
    }
  })

  test('others may not, and their requests are answered all the same', async () => {
    for (const origin of ['https://evil.example', 'null', `${SHOP}.evil.example`, `${SHOP}:444`]) {
      const { statusCode, headers } = await api.app.inject({
        url: '/products',
        headers: { origin },
      })
      assert.equal(statusCode, 200)
      assert.deepEqual(corsHeadersOf(headers), [])
      assert.match(String(headers.vary), /\bOrigin\b/)
    }
  })

  test('who sends no origin is told nothing but that it matters', async () => {
    const { headers } = await api.app.inject('/livez')
    assert.deepEqual(corsHeadersOf(headers), [])
    assert.equal(headers.vary, 'Origin')
  })

  test('a preflight allows what the path allows', async () => {
    for (const [url, methods] of [
      ['/products', 'GET, HEAD, POST, PUT, OPTIONS'],
      ['/api/v1/products/', 'GET, HEAD, POST, PUT, OPTIONS'],
      ['/api/v1/products/x', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
      ['/products/x/events', 'GET, HEAD, OPTIONS'],
    ] as const) {
      const { statusCode, headers, body } = await preflight(api, url, 'PUT')
      assert.deepEqual([statusCode, body], [204, ''])
      assert.equal(headers['access-control-allow-methods'], methods)
      assert.equal(headers.allow, methods)
      assert.equal(headers['access-control-allow-origin'], SHOP)
      assert.equal(headers['access-control-max-age'], '7200')
      const accepted = namesIn(headers['access-control-allow-headers'])
      for (const name of ['Content-Type', 'If-Match', 'Idempotency-Key', 'Authorization']) {
        assert.ok(accepted.includes(name), name)
      }
    }
  })

  test('a preflight of another origin, or for nothing, allows nothing', async () => {
    const other = await preflight(api, '/products', 'PUT', 'https://evil.example')
    assert.deepEqual([other.statusCode, corsHeadersOf(other.headers)], [204, []])
    const nothing = await preflight(api, '/nothing', 'GET')
    assert.equal(nothing.statusCode, 404)
    assert.equal(nothing.headers['access-control-allow-methods'], undefined)
  })

  test('OPTIONS that is no preflight is an answer like any other', async () => {
    const { headers } = await api.app.inject({
      method: 'OPTIONS',
      url: '/products',
      headers: { origin: SHOP },
    })
    assert.equal(headers['access-control-allow-methods'], undefined)
    assert.ok(headers['access-control-expose-headers'])
  })

  test('problems can be read too, whoever answers them', async () => {
    for (const [method, url, status] of [
      ['GET', '/nothing', 404],
      ['GET', '/products/1', 404],
      ['GET', '/products/%zz', 404],
      ['DELETE', '/products', 405],
      ['GET', '/products?limit=x', 400],
      ['POST', '/products', 400],
    ] as const) {
      const { statusCode, headers } = await api.app.inject({
        method,
        url,
        headers: { origin: SHOP },
      })
      assert.equal(statusCode, status)
      assert.equal(headers['access-control-allow-origin'], SHOP)
      assert.match(String(headers.vary), /^Origin\b/)
      assert.ok(headers['access-control-expose-headers'])
    }
  })

  test('an answer that is compressed or not modified says so as well', async () => {
    const headers = { origin: SHOP, 'accept-encoding': 'br' }
    const document = await api.app.inject({ url: '/openapi.json', headers })
    assert.deepEqual(namesIn(document.headers.vary), ['Origin', 'accept-encoding'])
    const again = await api.app.inject({
      url: '/openapi.json',
      headers: { ...headers, 'if-none-match': String(document.headers.etag) },
    })
    assert.equal(again.statusCode, 304)
    assert.equal(again.headers['access-control-allow-origin'], SHOP)
    assert.deepEqual(namesIn(again.headers.vary), ['Origin', 'accept-encoding'])
  })

  test('streams of events can be read', async () => {
    const port = await listen(api.app)
    const response = await fetch(`http://127.0.0.1:${port}/events`, { headers: { origin: SHOP } })
    assert.equal(response.headers.get('access-control-allow-origin'), SHOP)
    assert.equal(response.headers.get('vary'), 'Origin')
    await response.body?.cancel()
  })
})

test('* is for every page, and the same for all', async () => {
  await using api = await openApi({ corsOrigins: ['*'] })
  const { headers } = await api.app.inject({ url: '/livez', headers: { origin: 'null' } })
  assert.deepEqual([headers['access-control-allow-origin'], headers.vary], ['*', undefined])
  const asked = await preflight(api, '/products', 'POST', 'https://any.example')
  assert.equal(asked.headers['access-control-allow-origin'], '*')
})

test('without the setting nothing is said', async () => {
  await using api = await openApi()
  const asked = await preflight(api, '/products', 'POST')
  assert.deepEqual([asked.statusCode, corsHeadersOf(asked.headers)], [204, []])
  const { headers } = await api.app.inject({ url: '/livez', headers: { origin: SHOP } })
  assert.deepEqual([corsHeadersOf(headers), headers.vary], [[], undefined])
})
