// What holds for every route: methods, addresses that name nothing, request ids, log lines, problems.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { problemCodes } from '../../src/errors.ts'
import { narrowerStatusesOf, statuses } from '../../src/http/problem.ts'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'
import { eventually } from '../support/eventually.ts'

let api: TestApi
before(async () => {
  api = await openApi()
})
after(() => api[Symbol.asyncDispose]())

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
const send = (method: string, url: string, headers: Record<string, string> = {}) =>
  // Methods beyond Fastify's list are what is tested.
  api.app.inject({ method: method as Method, url, headers })

describe('a method that is not for this address', () => {
  const addresses: [url: string, allow: string][] = [
    ['/products', 'GET, HEAD, POST, PUT, OPTIONS'],
    ['/api/v1/products', 'GET, HEAD, POST, PUT, OPTIONS'],
    ['/products/1', 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS'],
    ['/products/1/images', 'GET, HEAD, OPTIONS'],
    ['/images/1', 'GET, HEAD, OPTIONS'],
    ['/images/1/attempts', 'GET, HEAD, OPTIONS'],
    ['/images/1/retry?x=1', 'POST, OPTIONS'],
    ['/products/1/images/retry', 'POST, OPTIONS'],
    ['/media/a/b.jpg', 'GET, HEAD, OPTIONS'],
    ['/livez', 'GET, HEAD, OPTIONS'],
    ['/health/database', 'GET, HEAD, OPTIONS'],
    ['/openapi.json', 'GET, HEAD, OPTIONS'],
    ['/problems/not_found', 'GET, HEAD, OPTIONS'],
  ]
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'QUERY', 'PURGE']
  for (const [url, allow] of addresses) {
    test(`at ${url} is refused, and OPTIONS tells: ${allow}`, async () => {
      for (const method of methods.filter((one) => !allow.includes(one))) {
        const response = await send(method, url, { 'content-type': 'application/json' })
        assert.equal(response.statusCode, 405, method)
        assert.equal(response.headers.allow, allow)
        assert.equal(response.json().code, 'method_not_allowed')
      }
      const options = await send('OPTIONS', url)
      assert.equal(options.statusCode, 204)
      assert.equal(options.headers.allow, allow)
      assert.equal(options.body, '')
    })
  }

  test('is told before the body is looked at', async () => {
    const headers = { 'content-type': 'application/json' }
    const response = await api.app.inject({
      method: 'PUT',
      url: '/products/1/images',
      headers,
      payload: '{',
    })
    assert.equal(response.statusCode, 405)
  })
})

test('HEAD answers as GET does, without the body', async () => {
  const { id } = (await post(api.app, sample)).json()
  for (const url of [
    '/products',
    `/products/${id}`,
    '/livez',
    '/openapi.json',
    '/products/1',
    '/nothing',
  ]) {
    const [get, head] = [await send('GET', url), await send('HEAD', url)]
    assert.equal(head.statusCode, get.statusCode, url)
    assert.equal(head.headers['content-type'], get.headers['content-type'])
    assert.equal(head.headers.etag, get.headers.etag)
    assert.equal(head.headers['content-length'], get.headers['content-length'], url)
  }
})

test('an address without a route is not found, whatever the method', async () => {
  for (const url of [
    '/',
    '/product',
    '/products/1/2/3',
    '/api/v2/products',
    '/api/v1',
    '//products',
    '/products%2f1x',
    '/PRODUCTS',
    '/%ff',
    '/.git/config',
  ]) {
    for (const method of ['GET', 'POST', 'OPTIONS', 'PROPFIND']) {
      const response = await send(method, url)
      assert.equal(response.statusCode, 404, `${method} ${url}`)
      assert.equal(response.headers['content-type'], 'application/problem+json')
      assert.equal(response.headers['cache-control'], 'no-store')
    }
  }
})

test('a code names the statuses that it comes with beside its own', async () => {
  const narrower = async (code: string) =>
    (await send('GET', `/problems/${code}`)).json().narrower_statuses
  assert.deepEqual(await narrower('invalid_input'), [408, 416, 417])
  assert.deepEqual(await narrower('too_large'), [414, 431])
  assert.deepEqual(await narrower('not_found'), [])
})

test('every problem code says at its address what it means and what to do', async () => {
  for (const code of problemCodes) {
    const response = await send('GET', `/problems/${code}`)
    const kind = response.json()
    assert.equal(response.statusCode, 200)
    assert.deepEqual([kind.code, kind.status], [code, statuses[code]])
    assert.deepEqual(kind.narrower_statuses, narrowerStatusesOf(code))
    assert.ok(kind.title && kind.meaning && kind.remedy)
  }
  for (const code of ['nothing', '__proto__', 'toString']) {
    assert.equal((await send('GET', `/problems/${code}`)).statusCode, 404)
  }
})

describe('the request id', () => {
  const sane = ['a', 'abc-DEF_1.2', 'x'.repeat(128), '7b0c3a52-9a61-4f4e-8a31-1f0d3c0d6b1e']
  const unfit = [
    '',
    ' ',
    'a b',
    'x'.repeat(129),
    'a"b',
    '<script>',
    'ä',
    '{"level":"fatal"}',
    'a\tb',
  ]

  test('is the caller’s, when it is fit for a log', async () => {
    for (const id of sane) {
      const response = await send('GET', '/products/1', { 'x-request-id': id })
      assert.equal(response.headers['x-request-id'], id)
      assert.equal(response.json().request_id, id)
    }
  })

  test('is one of ours otherwise, another for each request', async () => {
    const made = new Set<unknown>()
    for (const id of unfit) {
      const response = await send('GET', '/livez', { 'x-request-id': id })
      assert.match(String(response.headers['x-request-id']), /^[0-9a-f-]{36}$/)
      made.add(response.headers['x-request-id'])
    }
    assert.equal(made.size, unfit.length)
  })
})

describe('the log', () => {
  const lineOf = (requestId: string) =>
    eventually(() => {
      const line = api.lines.find((one) => one.request_id === requestId && one.msg === 'request')
      assert.ok(line)
      return line
    })

  test('has one line per request, with its route’s pattern and its outcome', async () => {
    const { id } = (await post(api.app, sample, { 'x-request-id': 'log-post' })).json()
    const read = await send('GET', `/api/v1/products/${id}`, { 'x-request-id': 'log-get' })
    await send('GET', '/products/1', { 'x-request-id': 'log-404' })
    const { level, method, route, status, bytes, ms } = await lineOf('log-get')
    assert.deepEqual(
      { level, method, route, status, bytes },
      {
        level: 'info',
        method: 'GET',
        route: '/products/:id',
        status: 200,
        bytes: read.body.length,
      },
    )
    assert.equal(typeof ms, 'number')
    const created = await lineOf('log-post')
    assert.deepEqual([created.route, created.status], ['/products', 201])
    assert.match(String(created.trace_id), /^[0-9a-f]{32}$/)
    assert.equal((await lineOf('log-404')).status, 404)
    assert.equal(api.lines.filter(({ request_id }) => request_id === 'log-get').length, 1)
  })

  test('has probes at debug', async () => {
    await send('GET', '/livez', { 'x-request-id': 'log-probe' })
    assert.equal((await lineOf('log-probe')).level, 'debug')
  })

  test('never holds a query string, a header, a body or an answer', async () => {
    const secret = 'hunter2-top-secret'
    await send('GET', `/products?user_id=${secret}&token=${secret}`, { authorization: secret })
    await send('GET', `/nothing?token=${secret}`, { cookie: secret, 'x-request-id': `${secret} ` })
    await send('GET', `http://user:${secret}@localhost/nothing#${secret}`)
    await send('GET', `/%ff?token=${secret}`, { 'x-request-id': 'log-secret' })
    await post(api.app, { ...sample, product_name: secret })
    await post(api.app, { ...sample, product_name: secret, product_price: secret })
    await post(api.app, `{"product_name": "${secret}`)
    await lineOf('log-secret')
    assert.doesNotMatch(api.logged(), new RegExp(secret))
  })

  test('cannot be forged by an address', async () => {
    await send('GET', '/a%0A{"level":"fatal"}', { 'x-request-id': 'log-forged' })
    assert.equal((await lineOf('log-forged')).path, '/a%0A%7B%22level%22:%22fatal%22%7D')
    await send('GET', `/${'x'.repeat(5_000)}`, { 'x-request-id': 'log-long' })
    assert.equal(String((await lineOf('log-long')).path).length, 200)
  })
})

test('a defect answers with its request id only, and the log has its stack', async () => {
  await using own = await openApi()
  await own.storage[Symbol.asyncDispose]()
  const response = await own.app.inject({
    url: '/media/a.jpg',
    headers: { 'x-request-id': 'defect' },
  })
  assert.equal(response.statusCode, 500)
  assert.deepEqual(response.json(), {
    type: '/problems/internal',
    title: 'Something went wrong on our side',
    status: 500,
    code: 'internal',
    request_id: 'defect',
  })
  const line = own.lines.find(({ level }) => level === 'error')
  assert.ok(line)
  assert.equal(line.request_id, 'defect')
  const { stack } = line.err as { stack: string }
  assert.match(stack, /storage is closed[\s\S]*guard\.ts/)
})

test('while all is well the probes say that', async () => {
  const names = ['database', 'storage', 'cache']
  // A check that the machine held up for its 800 ms says otherwise, for a second.
  await eventually(async () => {
    const ready = await send('GET', '/readyz')
    const { status, failing, checks } = ready.json()
    assert.deepEqual([ready.statusCode, status, failing], [200, 'ready', []])
    assert.deepEqual(Object.keys(checks), names)
    const health = (await send('GET', '/api/v1/health')).json()
    assert.equal(health.status, 'healthy')
    assert.deepEqual(Object.keys(health.checks), names)
    assert.equal((await send('GET', '/health/database')).json().status, 'healthy')
  })
  assert.equal((await send('GET', '/health/nothing')).statusCode, 404)
})

const stopping = { status: 'stopping', failing: [], checks: {} }

test('a server that stops is not ready, asks clients to leave, and finishes what runs', async () => {
  await using own = await openApi()
  const port = await listen(own.app)
  const origin = `http://127.0.0.1:${port}`
  await eventually(async () => assert.equal((await fetch(`${origin}/readyz`)).status, 200))
  own.health.setStopping()
  const ready = await fetch(`${origin}/readyz`)
  assert.deepEqual([ready.status, await ready.json()], [503, stopping])
  assert.equal((await fetch(`${origin}/health`)).status, 503)
  const served = await fetch(`${origin}/products`)
  assert.deepEqual([served.status, served.headers.get('connection')], [200, 'close'])

  const running = fetch(`${origin}/products`, {
    method: 'POST',
    body: JSON.stringify(sample),
    headers: { 'content-type': 'application/json' },
  })
  const [response] = await Promise.all([
    running,
    // Closed as soon as the request is in.
    new Promise((resolve) => own.app.server.once('request', resolve)).then(() => own.app.close()),
  ])
  assert.equal(response.status, 201)
  await assert.rejects(fetch(`${origin}/livez`))
})

test('a server that stops takes new connections until those who send them had time to notice', async () => {
  await using own = await openApi({ drainMs: 5_000 })
  const origin = `http://127.0.0.1:${await listen(own.app)}`
  const startedAt = performance.now()
  let isClosed = false
  const closing = own.app.close().then(() => {
    isClosed = true
  })
  const ready = await fetch(`${origin}/readyz`)
  assert.deepEqual([ready.status, await ready.json()], [503, stopping])
  const served = await fetch(`${origin}/products`)
  assert.deepEqual([served.status, served.headers.get('connection')], [200, 'close'])
  assert.equal(isClosed, false)
  await closing
  assert.ok(performance.now() - startedAt >= 4_990)
  await assert.rejects(fetch(`${origin}/livez`))
})

test('closing does not wait for connections that are idle', async () => {
  await using own = await openApi()
  const port = await listen(own.app)
  await (await fetch(`http://127.0.0.1:${port}/livez`)).text()
  const started = performance.now()
  await own.app.close()
  assert.ok(performance.now() - started < 5_000)
})
