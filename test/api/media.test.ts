// The files that the service serves itself: caching, parts, and no way out of the folder.

import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { listen, openApi, raw, type TestApi } from '../support/api.ts'

const key = 'renditions/3f/3fa9c1/default-1c2d.jpg'
const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, at) => at % 251))

let api: TestApi
before(async () => {
  api = await openApi()
  await api.storage.put(key, bytes, { contentType: 'image/jpeg' })
})
after(() => api[Symbol.asyncDispose]())

const get = (url: string, headers: Record<string, string> = {}) => api.app.inject({ url, headers })
const etag = `"${key}"`

test('a file is served whole, to be kept for ever, and never taken for anything else', async () => {
  for (const base of ['', '/api/v1']) {
    const response = await get(`${base}/media/${key}`)
    assert.equal(response.statusCode, 200)
    assert.ok(response.rawPayload.equals(bytes))
    assert.equal(response.headers['content-type'], 'image/jpeg')
    assert.equal(response.headers['content-length'], String(bytes.length))
    assert.equal(response.headers['cache-control'], 'public, max-age=31536000, immutable')
    assert.equal(response.headers['x-content-type-options'], 'nosniff')
    assert.equal(response.headers['accept-ranges'], 'bytes')
    assert.equal(response.headers.etag, etag)
    assert.match(String(response.headers['content-security-policy']), /sandbox/)
  }
})

test('HEAD tells all of it and sends nothing', async () => {
  const response = await api.app.inject({ method: 'HEAD', url: `/media/${key}` })
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-length'], String(bytes.length))
  assert.equal(response.headers['content-type'], 'image/jpeg')
  assert.equal(response.rawPayload.length, 0)
})

test('a client that has it gets 304', async () => {
  for (const header of [etag, `W/${etag}`, '*', `"x", ${etag}`]) {
    const response = await get(`/media/${key}`, { 'if-none-match': header })
    assert.equal(response.statusCode, 304, header)
    assert.equal(response.headers.etag, etag)
    assert.match(String(response.headers['cache-control']), /immutable/)
    assert.equal(response.rawPayload.length, 0)
  }
  assert.equal((await get('/media/renditions/none.jpg', { 'if-none-match': '*' })).statusCode, 404)
})

const parts: [range: string, start: number, end: number][] = [
  ['bytes=0-0', 0, 0],
  ['bytes=100-199', 100, 199],
  ['bytes=199990-', 199_990, 199_999],
  ['bytes=-10', 199_990, 199_999],
  ['bytes=70000-140000', 70_000, 140_000],
  ['bytes=0-9999999', 0, 199_999],
]
for (const [range, start, end] of parts) {
  test(`${range} is answered with that part`, async () => {
    const response = await get(`/media/${key}`, { range })
    assert.equal(response.statusCode, 206)
    assert.equal(response.headers['content-range'], `bytes ${start}-${end}/200000`)
    assert.equal(response.headers['content-length'], String(end - start + 1))
    assert.ok(response.rawPayload.equals(bytes.subarray(start, end + 1)))
  })
}

test('a part beyond the end is refused, with the size', async () => {
  const response = await get(`/media/${key}`, { range: 'bytes=200000-' })
  assert.equal(response.statusCode, 416)
  assert.equal(response.headers['content-range'], 'bytes */200000')
  assert.equal(response.headers['content-type'], 'application/problem+json')
  assert.equal(response.json().status, 416)
})

test('a part of another file’s rest, several parts, or a part for HEAD: the whole file', async () => {
  const wholes: Record<string, string>[] = [
    { range: 'bytes=0-1', 'if-range': '"other"' },
    { range: 'bytes=0-1,5-6' },
    { range: 'bytes=x' },
  ]
  for (const headers of wholes) {
    const response = await get(`/media/${key}`, headers)
    assert.equal(response.statusCode, 200)
    assert.equal(response.rawPayload.length, bytes.length)
  }
  assert.equal(
    (await get(`/media/${key}`, { range: 'bytes=0-1', 'if-range': etag })).statusCode,
    206,
  )
  const head = await api.app.inject({
    method: 'HEAD',
    url: `/media/${key}`,
    headers: { range: 'bytes=0-1' },
  })
  assert.equal(head.statusCode, 200)
})

describe('no path leads out of the folder', () => {
  const escapes = [
    '/media/../secret.jpg',
    '/media/..%2fsecret.jpg',
    '/media/%2e%2e/secret.jpg',
    '/media/%2e%2e%2fsecret.jpg',
    '/media/%252e%252e%252fsecret.jpg',
    '/media/..%252fsecret.jpg',
    '/media/a/../../secret.jpg',
    '/media/renditions/%2e%2e/%2e%2e/secret.jpg',
    '/media/..\\secret.jpg',
    '/media/..%5csecret.jpg',
    '/media/%c0%ae%c0%ae/secret.jpg',
    '/media/%uff0e%uff0e/secret.jpg',
    '/media//etc/passwd',
    '/media/%2fetc%2fpasswd',
    '/media//secret.jpg',
    '/media/./renditions/3f/3fa9c1/default-1c2d.jpg',
    '/media/renditions//3f/3fa9c1/default-1c2d.jpg',
    '/media/renditions/3f/3fa9c1/default-1c2d.jpg/',
    '/media/renditions/3f/3fa9c1/default-1c2d.jpg%00',
    '/media/renditions/3f/3fa9c1/default-1c2d.jpg%00.png',
    '/media/renditions/3f/3fa9c1/default-1c2d.jpg%20',
    '/media/renditions/3f/3fa9c1/default-1c2d.jpg.',
    '/media/renditions',
    '/media/renditions/',
    '/media/',
    '/media',
    '/media/.incoming',
    '/media/.incoming/x.jpg',
    '/media/.hidden.jpg',
    '/media/link.jpg',
    '/media/linked/secret.jpg',
    '/media/con.jpg:stream',
    '/media/~root/secret.jpg',
    `/media/${'a/'.repeat(4_000)}x.jpg`,
  ]

  let port: number
  before(async () => {
    const outside = join(api.folder, '..', 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'secret.jpg'), 'secret')
    await writeFile(join(api.folder, '.hidden.jpg'), 'secret')
    await writeFile(join(api.folder, '..', 'secret.jpg'), 'secret')
    await symlink(join(outside, 'secret.jpg'), join(api.folder, 'link.jpg'))
    await symlink(outside, join(api.folder, 'linked'))
    port = await listen(api.app)
  })

  for (const path of escapes) {
    const shown = path.length > 80 ? `${path.slice(0, 80)}…` : path
    // As it is, past every client that would tidy the path up.
    test(`${shown} is not found`, async () => {
      const answer = await raw(port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      assert.match(answer, /^HTTP\/1\.1 404 /)
      assert.doesNotMatch(answer, /secret$/)
    })
  }

  test('a key in another spelling is the same file', async () => {
    assert.equal((await get(`/media/${key.replace('d', '%64')}`)).statusCode, 200)
  })
})

describe('where the files are in a public bucket', () => {
  const bucketUrl = 'https://cdn.example/pictures/'
  const hash = '3f'.padEnd(64, 'a1')
  const old = `renditions/3f/${hash}/default-0123456789abcdef.jpg`
  let other: TestApi
  before(async () => {
    other = await openApi({ bucketUrl })
  })
  after(() => other[Symbol.asyncDispose]())

  test('a link from before leads to the file there, whatever is asked of it', async () => {
    for (const method of ['GET', 'HEAD'] as const) {
      for (const base of ['', '/api/v1']) {
        const headers = { range: 'bytes=0-1', 'if-none-match': '*' }
        const response = await other.app.inject({ method, url: `${base}/media/${old}`, headers })
        assert.equal(response.statusCode, 302)
        assert.equal(response.headers.location, bucketUrl + old)
        assert.equal(response.headers['cache-control'], 'public, max-age=86400')
        assert.equal(response.headers.etag, undefined)
        assert.equal(response.rawPayload.length, 0)
      }
    }
  })

  const foreign = [
    'invoice.jpg',
    'private/invoice.jpg',
    'renditions/invoice.jpg',
    `renditions/3f/${hash}/invoice.jpg`,
    `renditions/40/${hash}/default-0123456789abcdef.jpg`,
    `renditions/3f/${hash.slice(1)}/default-0123456789abcdef.jpg`,
    `other/${old}`,
    `${old}/x.jpg`,
    `${old}/`,
    `${old}?versionId=1`.replace('?', '%3f'),
    `${old}%0a`,
    `${old}%0d%0aSet-Cookie:%20a=b`,
    `${old.replace('default', '..%2fdefault')}`,
  ]
  for (const path of foreign) {
    test(`${path.replace(hash, '…')} is no link of ours`, async () => {
      for (const method of ['GET', 'HEAD'] as const) {
        const response = await other.app.inject({ method, url: `/media/${path}` })
        assert.equal(response.statusCode, 404)
        assert.equal(response.headers.location, undefined)
      }
    })
  }
})

test('a client that leaves in mid-file disturbs nobody', async () => {
  await using own = await openApi()
  await own.storage.put('big.jpg', Buffer.alloc(20_000_000, 1), { contentType: 'image/jpeg' })
  const origin = `http://127.0.0.1:${await listen(own.app)}`
  for (let round = 0; round < 5; round++) {
    const controller = new AbortController()
    const response = await fetch(`${origin}/media/big.jpg`, { signal: controller.signal })
    await response.body?.getReader().read()
    controller.abort()
  }
  const whole = await (await fetch(`${origin}/media/big.jpg`)).arrayBuffer()
  assert.equal(whole.byteLength, 20_000_000)
  assert.deepEqual(
    own.lines.filter(({ level }) => level === 'error'),
    [],
  )
})
