// Changing products over HTTP, on each engine.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import { beginEpoch } from '../../src/events/epoch.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'
import { describeOnEachDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const [a, b, c] = ['a', 'b', 'c'].map((name) => `https://example.com/${name}.jpg`) as [
  string,
  string,
  string,
]
const { user_id: _, ...fields } = sample

describeOnEachDatabase('changing products over HTTP', (engine) => {
  let api: TestApi
  before(async () => {
    api = await openApi({ engine })
  })
  after(() => api[Symbol.asyncDispose]())

  const send = (
    method: 'GET' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) =>
    api.app.inject({
      method,
      url,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    })
  const make = async (changes: object = {}) => {
    const created = await post(api.app, { ...sample, ...changes })
    const product = created.json()
    return { product, etag: String(created.headers.etag), url: `/products/${product.id}` }
  }

  for (const [name, target] of [
    ['PUT /products/:id', (id: string) => ({ url: `/products/${id}`, body: {} })],
    ['PUT /products', (id: string) => ({ url: '/api/v1/products', body: { id } })],
  ] as const) {
    test(`${name} replaces every field, and answers the product as it will be read`, async () => {
      const { product, url } = await make()
      const { url: at, body } = target(product.id)
      const replaced = await send('PUT', at, {
        ...body,
        product_name: 'Another',
        product_price: 0.3,
        product_images: [b],
      })
      assert.equal(replaced.statusCode, 200, replaced.body)
      const now = replaced.json()
      assert.deepEqual(
        [now.product_name, now.product_description, now.product_price, now.product_images],
        ['Another', '', 0.3, [b]],
      )
      assert.deepEqual([now.id, now.user_id, now.version], [product.id, product.user_id, 2])
      assert.equal(now.created_at, product.created_at)
      assert.ok(now.updated_at > product.updated_at)
      assert.match(String(replaced.headers.etag), /^"2-2-[\w-]+"$/)
      assert.equal(replaced.headers['content-location'], `/api/v1/products/${product.id}`)
      const read = await send('GET', url)
      assert.equal(read.body, replaced.body)
      assert.equal(read.headers.etag, replaced.headers.etag)
    })
  }

  test('what changes nothing is no edit: the product is answered as it is, and nobody is told', async () => {
    const { product, url, etag } = await make({ product_price: 0.1, product_images: [a, b] })
    const count = sql<{ n: number }>`
      SELECT count(*)::int AS n FROM events WHERE product_id = ${product.id}`
    const { rows: before } = await count.execute(api.database.database.db)
    for (const [method, body] of [
      ['PUT', product],
      ['PATCH', {}],
      ['PATCH', { product_price: 0.1, product_images: [a, b] }],
    ] as const) {
      const answer = await send(method, url, body, { 'if-match': etag })
      assert.deepEqual([answer.statusCode, answer.headers.etag], [200, etag])
      assert.deepEqual(answer.json(), product)
    }
    const { rows: after } = await count.execute(api.database.database.db)
    assert.deepEqual(after, before)
    const reordered = await send('PATCH', url, { product_images: [b, a] }, { 'if-match': etag })
    assert.equal(reordered.json().version, product.version + 1)
    assert.equal((await send('PATCH', url, {}, { 'if-match': etag })).statusCode, 412)
  })

  test('a tag from before the database was restored is of no state that there is', async () => {
    const { url, etag } = await make()
    const { db } = api.database.database
    await beginEpoch(db)
    for (const method of ['PATCH', 'DELETE'] as const) {
      const body = method === 'PATCH' ? { product_price: 3 } : undefined
      assert.equal((await send(method, url, body, { 'if-match': etag })).statusCode, 412)
    }
    // Memory hears of it within moments.
    await eventually(async () => {
      const read = await send('GET', url, undefined, { 'if-none-match': etag })
      assert.equal(read.statusCode, 200)
      const changed = { 'if-match': String(read.headers.etag) }
      assert.equal((await send('PATCH', url, { product_price: 3 }, changed)).statusCode, 200)
    })
  })

  test('PUT without pictures leaves them, with an empty list takes them away', async () => {
    const { product, url } = await make({ product_images: [a, b] })
    const { product_images: __, ...rest } = fields
    const kept = await send('PUT', url, { ...rest, product_name: 'Named' })
    assert.deepEqual(kept.json().images, product.images)
    const emptied = (await send('PUT', url, { ...rest, product_images: [] })).json()
    assert.deepEqual([emptied.images, emptied.processing_status], [[], 'completed'])
  })

  test('PATCH changes what it names and nothing else', async () => {
    const { product, url } = await make()
    for (const type of ['application/merge-patch+json', 'application/json; charset=utf-8']) {
      const name = `patched by ${type}`
      const patched = await send('PATCH', url, { product_name: name }, { 'content-type': type })
      assert.equal(patched.statusCode, 200, patched.body)
      const { version, updated_at, ...now } = patched.json()
      const { version: _v, updated_at: _u, ...before } = product
      assert.deepEqual(now, { ...before, product_name: name })
      assert.equal((await send('GET', url)).body, patched.body)
    }
  })

  test('null in a PATCH empties the description and the pictures', async () => {
    const { url } = await make()
    const emptied = await send('PATCH', url, { product_description: null, product_images: null })
    const { product_description, product_images, product_name } = emptied.json()
    assert.deepEqual([product_description, product_images], ['', []])
    assert.equal(product_name, sample.product_name)
  })

  test('a picture that stays keeps its id, a new one is queued, order follows the request', async () => {
    const { product, url } = await make({ product_images: [a, b, a] })
    const [first, second, third] = product.images.map(({ id }: { id: string }) => id)
    const images = (await send('PATCH', url, { product_images: [c, a, b] })).json().images
    assert.deepEqual(
      images.map(({ source_url, position }: Record<string, unknown>) => [source_url, position]),
      [
        [c, 0],
        [a, 1],
        [b, 2],
      ],
    )
    assert.deepEqual([images[1].id, images[2].id], [first, second])
    assert.ok(![first, second, third].includes(images[0].id))
    assert.equal(images[0].status, 'queued')
    assert.equal((await send('GET', `/images/${third}`)).statusCode, 404)
    const again = (await send('PATCH', url, { product_images: [a, a, b] })).json().images
    assert.deepEqual([again[0].id, again[2].id], [first, second])
    assert.notEqual(again[1].id, third, 'a dropped picture does not come back')
  })

  test('DELETE answers 204, and nothing of the product is left', async () => {
    const { product, url } = await make()
    const [image] = product.images
    const gone = await send('DELETE', url)
    assert.deepEqual([gone.statusCode, gone.body], [204, ''])
    assert.equal(gone.headers['content-type'], undefined)
    for (const path of [
      url,
      `${url}/images`,
      `/images/${image.id}`,
      `/images/${image.id}/attempts`,
    ])
      assert.equal((await send('GET', path)).statusCode, 404, path)
    const again: [method: 'PUT' | 'PATCH' | 'DELETE', body?: unknown][] = [
      ['DELETE'],
      ['PUT', fields],
      ['PATCH', {}],
    ]
    for (const [method, body] of again)
      assert.equal((await send(method, url, body)).statusCode, 404, method)
  })

  test('an id in capitals is the same product, for its cached read too', async () => {
    const { product, url } = await make()
    await send('GET', url)
    const upper = `/products/${product.id.toUpperCase()}`
    const patched = await send('PATCH', upper, { product_name: 'Capitals' })
    assert.equal(patched.statusCode, 200)
    assert.equal((await send('GET', url)).json().product_name, 'Capitals')
    assert.equal((await send('DELETE', upper)).statusCode, 204)
    assert.equal((await send('GET', url)).statusCode, 404)
  })

  describe('If-Match', () => {
    test('lets a change through that starts from the present edit, and refuses a second one', async () => {
      const { url, etag } = await make()
      const first = await send('PATCH', url, { product_name: '1st' }, { 'if-match': etag })
      assert.equal(first.statusCode, 200)
      const writes = [
        await send('PATCH', url, { product_name: '2nd' }, { 'if-match': etag }),
        await send('PUT', url, fields, { 'if-match': etag }),
        await send('DELETE', url, undefined, { 'if-match': etag }),
      ]
      for (const refused of writes) {
        assert.equal(refused.statusCode, 412)
        assert.equal(refused.json().code, 'stale_version')
        assert.equal(refused.headers.etag, undefined)
      }
      const next = String(first.headers.etag)
      assert.equal((await send('GET', url)).headers.etag, next, 'nothing was changed')
      assert.equal((await send('DELETE', url, undefined, { 'if-match': next })).statusCode, 204)
    })

    test('takes weak tags, lists and a star', async () => {
      const { url, etag } = await make()
      let current = etag
      for (const header of [
        (tag: string) => `W/${tag}`,
        (tag: string) => `"foreign", ${tag}`,
        (tag: string) => `${tag} , W/"1-1-x"`,
        () => '*',
      ]) {
        const patched = await send('PATCH', url, {}, { 'if-match': header(current) })
        assert.equal(patched.statusCode, 200, header(current))
        current = String(patched.headers.etag)
      }
    })

    test('does not mind what pictures changed, nor an address that changed', async () => {
      const { url, etag } = await make()
      const other = etag.replace(/^"1-1-(.{8}).*$/, '"1-7-$1other1"')
      const saved = await send('PATCH', url, {}, { 'if-match': other })
      assert.equal(saved.statusCode, 200)
    })

    test('is never satisfied by tags of others', async () => {
      const { url } = await make()
      for (const header of ['"1"', '1-1-x', '"abc"', '', '"2-1-x"', 'W/"0-1-x"']) {
        const refused = await send('PATCH', url, {}, { 'if-match': header })
        assert.equal(refused.statusCode, 412, header)
      }
    })

    test('matters after the body and the address: 400 and 404 come first', async () => {
      const { url } = await make()
      const stale = { 'if-match': '"9-9-x"' }
      assert.equal((await send('PUT', url, {}, stale)).statusCode, 400)
      assert.equal((await send('PATCH', '/products/1', {}, { 'if-match': '*' })).statusCode, 404)
      assert.equal((await send('DELETE', '/products/1', undefined, stale)).statusCode, 404)
    })

    test('of 20 changes from the same edit exactly one is made', async () => {
      const { url, etag } = await make()
      const patches = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          send('PATCH', url, { product_name: `change ${n}` }, { 'if-match': etag }),
        ),
      )
      const made = patches.filter(({ statusCode }) => statusCode === 200)
      assert.equal(made.length, 1)
      assert.equal(patches.filter(({ statusCode }) => statusCode === 412).length, 19)
      assert.equal((await send('GET', url)).body, made[0]?.body)
    })
  })

  test('whatever is at fault is named, and nothing is changed', async () => {
    const { url, etag } = await make()
    const cases: [method: 'PUT' | 'PATCH', body: unknown, pointers: string[]][] = [
      ['PUT', {}, ['/product_name', '/product_price']],
      ['PUT', { ...fields, product_description: null }, ['/product_description']],
      ['PUT', { ...fields, product_images: null }, ['/product_images']],
      [
        'PUT',
        { ...fields, product_price: 1.999, product_name: 'a\0' },
        ['/product_name', '/product_price'],
      ],
      ['PATCH', { product_name: null }, ['/product_name']],
      ['PATCH', { product_price: null, product_name: '' }, ['/product_name', '/product_price']],
      ['PATCH', { product_price: '5' }, ['/product_price']],
      ['PATCH', { product_images: [a, null] }, ['/product_images/1']],
      ['PATCH', { product_images: [a, 'http://127.0.0.1/'] }, ['/product_images/1']],
      ['PATCH', { product_images: Array(21).fill(a) }, ['/product_images']],
      ['PATCH', { product_description: 5 }, ['/product_description']],
      ['PATCH', [], ['']],
      ['PATCH', null, ['']],
      ['PATCH', 'text', ['']],
    ]
    for (const [method, body, pointers] of cases) {
      const refused = await send(method, url, body)
      assert.equal(refused.statusCode, 400, JSON.stringify(body))
      const { code, errors } = refused.json()
      assert.equal(code, 'invalid_input')
      assert.deepEqual(
        errors.map(({ pointer }: { pointer: string }) => pointer).sort(),
        pointers,
        JSON.stringify(body),
      )
    }
    for (const id of [undefined, 5, null]) {
      const refused = await send('PUT', '/products', { ...fields, id })
      assert.deepEqual([refused.statusCode, refused.json().errors[0].pointer], [400, '/id'])
    }
    assert.equal((await send('PUT', '/products', { ...fields, id: 'x' })).statusCode, 404)
    assert.equal((await send('GET', url)).headers.etag, etag)
  })

  test('a body of another type is refused, and a PATCH is told which ones are read', async () => {
    const { url } = await make()
    const patchTypes = 'application/merge-patch+json, application/json'
    for (const type of ['text/plain', 'application/json-patch+json', 'application/xml']) {
      const refused = await send('PATCH', url, {}, { 'content-type': type })
      assert.equal(refused.statusCode, 415, type)
      assert.equal(refused.headers['accept-patch'], patchTypes)
    }
    const merge = { 'content-type': 'application/merge-patch+json' }
    assert.equal((await send('PUT', url, fields, merge)).statusCode, 415)
    assert.equal((await post(api.app, sample, merge)).statusCode, 415)
    const options = await api.app.inject({ method: 'OPTIONS', url })
    assert.equal(options.headers['accept-patch'], patchTypes)
    assert.equal(
      (await api.app.inject({ method: 'OPTIONS', url: '/products' })).headers['accept-patch'],
      undefined,
    )
  })
})
