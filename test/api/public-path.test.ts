// A service whose public address has a path, which the proxy before it takes off: every reference that
// clients are given goes through that proxy.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { InjectOptions } from 'fastify'
import { listen, openApi, post, raw, sample, type TestApi } from '../support/api.ts'

const PUBLIC_URL = 'https://shop.example/x/y'

let api: TestApi
before(async () => {
  api = await openApi({ publicUrl: PUBLIC_URL })
})
after(() => api[Symbol.asyncDispose]())

/** What a client gets that follows a reference in an answer from `from`, by way of the proxy. */
function follow(
  reference: unknown,
  { from = '/api/v1/products', ...options }: InjectOptions & { from?: string } = {},
) {
  const { href } = new URL(String(reference), PUBLIC_URL + from)
  assert.ok(href.startsWith(`${PUBLIC_URL}/`), href)
  return api.app.inject({ ...options, url: href.slice(PUBLIC_URL.length) })
}

async function create(): Promise<string> {
  return (await post(api.app, { ...sample, product_images: [] })).json().id
}

test('Location and Content-Location lead to the product', async () => {
  const created = await post(api.app, { ...sample, product_images: [] })
  const { id } = created.json()
  assert.equal(created.headers.location, `/x/y/api/v1/products/${id}`)
  assert.equal((await follow(created.headers.location)).json().id, id)
  const headers = { 'content-type': 'application/json' }
  for (const [method, url, changes] of [
    ['PATCH', `/products/${id}`, {}],
    ['PUT', `/products/${id}`, sample],
    ['PUT', '/products', { ...sample, id }],
  ] as const) {
    const edited = await api.app.inject({ method, url, headers, payload: changes })
    assert.equal(edited.statusCode, 200)
    assert.equal((await follow(edited.headers['content-location'])).json().id, id)
  }
})

test('a path that begins with two slashes names no host', async () => {
  await using other = await openApi({ publicUrl: 'https://shop.example//x' })
  const { headers } = await post(other.app, { ...sample, product_images: [] })
  assert.match(String(headers.location), /^\/x\/api\/v1\/products\//)
})

test('Link leads to the pages', async () => {
  for (let made = 0; made < 3; made++) await create()
  const { headers } = await api.app.inject('/products?limit=1')
  const links = [...String(headers.link).matchAll(/<([^>]*)>; rel="(\w+)"/g)]
  assert.deepEqual(
    links.map(([, , rel]) => rel),
    ['next', 'first'],
  )
  for (const [, link] of links) assert.equal((await follow(link)).json().data.length, 1)
})

test('the type of a problem leads to its meaning, also of what is no request', async () => {
  const { type } = (await api.app.inject('/nothing')).json()
  assert.equal(type, '/x/y/problems/not_found')
  assert.equal((await follow(type)).json().code, 'not_found')
  const answer = await raw(await listen(api.app), 'nonsense\r\n\r\n')
  const problem = JSON.parse(answer.split('\r\n\r\n')[1] ?? '')
  assert.equal((await follow(problem.type)).json().code, 'invalid_input')
})

test('the description says where the service is', async () => {
  const { servers } = (await api.app.inject('/openapi.json')).json()
  const from = '/openapi.json'
  assert.equal(servers.length, 2)
  for (const { url } of servers)
    assert.equal((await follow(`${url.replace(/\/$/, '')}/products`, { from })).statusCode, 200)
})

test('the reference finds its files', async () => {
  for (const from of ['/docs', '/docs/', '/api/v1/docs']) {
    const { body } = await api.app.inject(from)
    const files = [...body.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, file]) => file)
    assert.ok(files.length >= 5)
    for (const file of files) assert.equal((await follow(file, { from })).statusCode, 200)
  }
  const moved = await api.app.inject('/docs/static/index.html')
  assert.equal((await follow(moved.headers.location, { from: '/docs' })).statusCode, 200)
})
