// What clients write in several ways and mean the same by.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { listen, openApi, post, raw, sample, type TestApi } from '../support/api.ts'

let api: TestApi
let port: number
let id: string
before(async () => {
  api = await openApi()
  port = await listen(api.app)
  id = (await post(api.app, sample)).json().id
})
after(() => api[Symbol.asyncDispose]())

test('a slash at the end makes no difference', async () => {
  for (const path of [
    '/products',
    `/products/${id}`,
    `/products/${id}/images`,
    '/livez',
    '/openapi.json',
    '/docs',
  ]) {
    for (const base of ['', '/api/v1']) {
      for (const method of ['GET', 'HEAD', 'OPTIONS'] as const) {
        const plain = await api.app.inject({ method, url: base + path })
        const slashed = await api.app.inject({ method, url: `${base}${path}/` })
        assert.ok(plain.statusCode < 300)
        assert.equal(slashed.statusCode, plain.statusCode, `${method} ${path}/`)
        assert.equal(slashed.headers.allow, plain.headers.allow)
        assert.equal(slashed.headers.etag, plain.headers.etag)
      }
    }
  }
  const created = await api.app.inject({ method: 'POST', url: '/products/', payload: sample })
  assert.equal(created.statusCode, 201)
  assert.equal(created.headers.location, `/api/v1/products/${created.json().id}`)
  const refused = await api.app.inject({ method: 'PATCH', url: '/products/' })
  assert.deepEqual(
    [refused.statusCode, refused.headers.allow],
    [405, 'GET, HEAD, POST, PUT, OPTIONS'],
  )
  assert.equal((await api.app.inject('/products/?limit=1')).json().data.length, 1)
})

test('percent-encoded letters are the letters, whatever the method', async () => {
  const refused = await api.app.inject({ method: 'DELETE', url: '/%70roducts' })
  assert.equal((await api.app.inject('/%70roducts')).statusCode, 200)
  assert.equal(refused.statusCode, 405)
  assert.equal(refused.headers.allow, 'GET, HEAD, POST, PUT, OPTIONS')
  const asked = await api.app.inject({ method: 'OPTIONS', url: `/%70roducts/${id}/%69mages` })
  assert.deepEqual([asked.statusCode, asked.headers.allow], [204, 'GET, HEAD, OPTIONS'])
})

test('a slash that is percent-encoded belongs to its segment, whatever the method', async () => {
  for (const method of ['GET', 'DELETE'] as const) {
    const products = await api.app.inject({ method, url: `/products%2f${id}` })
    assert.equal(products.statusCode, 404)
  }
  const refused = await api.app.inject({ method: 'POST', url: '/products/a%2fimages' })
  assert.equal(refused.headers.allow, 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS')
})

test('two slashes are another path', async () => {
  for (const url of ['/products//', '//products', `/products//${id}`]) {
    assert.equal((await api.app.inject(url)).statusCode, 404, url)
  }
})

test('who accepts no JSON gets JSON: it is all there is, and better than nothing', async () => {
  for (const accept of [
    'text/html',
    'application/xml;q=1, application/json;q=0',
    'image/*',
    'nonsense',
  ]) {
    const found = await api.app.inject({ url: `/products/${id}`, headers: { accept } })
    assert.equal(found.statusCode, 200)
    assert.equal(found.headers['content-type'], 'application/json; charset=utf-8')
    const missing = await api.app.inject({ url: '/products/1', headers: { accept } })
    assert.equal(missing.statusCode, 404)
    assert.equal(missing.headers['content-type'], 'application/problem+json')
    const created = await post(api.app, sample, { accept })
    assert.equal(created.statusCode, 201)
  }
})

test('a route that takes no body ignores what it is sent, whatever that is', async () => {
  const bodies: [header: string, body: string][] = [
    ['Content-Type: ;', 'x'],
    ['Content-Type: foo', '{'],
    ['Content-Type: text/plain', '\0'],
    ['Content-Type: application/json; charset=latin1', '{'],
    ['Content-Type: application/json', ' '.repeat(1_100_000)],
    ['X-Type: none', 'x'],
  ]
  for (const [header, body] of bodies) {
    const product = (await post(api.app, { ...sample, product_images: [] })).json()
    const send = (request: string) =>
      raw(
        port,
        `${request} HTTP/1.1\r\nHost: x\r\n${header}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
      )
    const both = (status: number) => new RegExp(`^HTTP/1.1 ${status} [^]*HTTP/1.1 200 OK`)
    assert.match(await send('POST /images/1/retry'), both(404), header)
    assert.match(await send(`POST /products/${product.id}/images/retry`), both(409), header)
    assert.match(await send(`DELETE /products/${product.id}`), both(204), header)
  }
})

test('a body without an end that nobody takes holds up no answer', async () => {
  const socket = connect(port, '127.0.0.1')
  socket.write('DELETE /products/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx')
  const [answer] = await once(socket, 'data')
  socket.destroy()
  assert.match(String(answer), /^HTTP\/1\.1 404 /)
})
