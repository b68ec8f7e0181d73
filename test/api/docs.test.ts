// The interactive reference: everything that it is made of comes from this service.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openApi, type TestApi } from '../support/api.ts'

let api: TestApi
before(async () => {
  api = await openApi()
})
after(() => api[Symbol.asyncDispose]())

const get = (url: string) => api.app.inject(url)

for (const address of ['/docs', '/docs/', '/api/v1/docs', '/api/v1/docs/']) {
  test(`${address} is a page whose files are all there`, async () => {
    const page = await get(address)
    assert.equal(page.statusCode, 200)
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    const files = [...page.body.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, file]) => file ?? '')
    assert.ok(files.length >= 5, page.body)
    for (const file of files) {
      const url = new URL(file, `http://service.test${address}`)
      assert.equal(url.host, 'service.test')
      const { statusCode, headers, rawPayload } = await get(url.pathname)
      assert.equal(statusCode, 200, file)
      assert.ok(rawPayload.length > 0)
      const type = { js: /javascript/, css: /css/, png: /png/ }[file.split('.').at(-1) ?? '']
      assert.match(String(headers['content-type']), type ?? /never/)
      assert.equal(headers['x-content-type-options'], 'nosniff')
    }
  })
}

test('it shows the document that is published', async () => {
  assert.equal((await get('/docs/json')).body, (await get('/openapi.json')).body)
})

test('it may fetch from this service only, and runs no script that stands in the page', async () => {
  const { headers, body } = await get('/docs')
  const policy = String(headers['content-security-policy'])
  assert.match(policy, /default-src 'none'; script-src 'self'; /)
  assert.match(policy, /connect-src 'self'; /)
  assert.doesNotMatch(policy, /https?:|\*|unsafe-eval/)
  assert.doesNotMatch(body, /<script(?![^>]* src=)|\son\w+=/)
})

test('there is nothing else below it, and nothing outside of it', async () => {
  for (const path of ['none.js', '../package.json', '%2e%2e/index.js', '..%2findex.js', '']) {
    const { statusCode, headers } = await get(`/docs/static/${path}`)
    assert.deepEqual([statusCode, headers['content-type']], [404, 'application/problem+json'])
  }
})
