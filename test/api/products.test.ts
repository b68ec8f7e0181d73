// The catalogue over HTTP, on each engine.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { AppError } from '../../src/errors.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'
import { describeOnEachDatabase } from '../support/database.ts'
import { createPictureWork } from '../support/picture-work.ts'

describeOnEachDatabase('products over HTTP', (engine) => {
  let api: TestApi
  before(async () => {
    api = await openApi({ engine })
  })
  after(() => api[Symbol.asyncDispose]())

  const get = (url: string, headers: Record<string, string> = {}) =>
    api.app.inject({ url, headers })

  test('a created product is answered whole, with its address and entity tag', async () => {
    const created = await post(api.app, sample)
    const product = created.json()
    assert.equal(created.statusCode, 201)
    assert.equal(created.headers['content-type'], 'application/json; charset=utf-8')
    assert.equal(created.headers.location, `/api/v1/products/${product.id}`)
    assert.match(String(created.headers.etag), /^"1-1-[\w-]+"$/)
    assert.match(product.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    assert.deepEqual(
      [product.user_id, product.product_name, product.product_price, product.processing_status],
      ['1234-5678-9012', 'Sample Product', 100, 'processing'],
    )
    const read = await get(String(created.headers.location))
    assert.equal(read.statusCode, 200)
    assert.equal(read.body, created.body)
    assert.equal(read.headers.etag, created.headers.etag)
    assert.equal(read.headers['cache-control'], 'no-cache')
  })

  test('a user may be a number, and is a text from then on', async () => {
    const product = (await post(api.app, { ...sample, user_id: 1 })).json()
    assert.equal(product.user_id, '1')
    const listed = (await get('/products?user_id=1')).json()
    assert.deepEqual(listed.data, [product])
  })

  test('a product without description and pictures is complete', async () => {
    const { product_description: _, product_images: __, ...least } = sample
    const product = (await post(api.app, least)).json()
    assert.equal(product.product_description, '')
    assert.deepEqual(product.product_images, [])
    assert.equal(product.processing_status, 'completed')
  })

  test('both bases answer the same', async () => {
    const { id } = (await post(api.app, sample)).json()
    const paths = [
      `/products/${id}`,
      `/products/${id}/images`,
      '/products?limit=1',
      '/livez',
      '/products/1',
    ]
    for (const path of paths) {
      const [canonical, alias] = [await get(`/api/v1${path}`), await get(path)]
      const bodies = [canonical, alias].map(({ body }) => body.replace(/"request_id":"[^"]*"/, ''))
      assert.equal(canonical.statusCode, alias.statusCode)
      assert.equal(bodies[0], bodies[1])
    }
    const created = await api.app.inject({ method: 'POST', url: '/products', payload: sample })
    assert.match(String(created.headers.location), /^\/api\/v1\/products\//)
  })

  test('a client that has it already gets 304, and no body', async () => {
    const created = await post(api.app, sample)
    const url = String(created.headers.location)
    const etag = String(created.headers.etag)
    for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const response = await get(url, { 'if-none-match': header })
      assert.equal(response.statusCode, 304, header)
      assert.equal(response.body, '')
      assert.equal(response.headers.etag, etag)
      assert.equal(response.headers['cache-control'], 'no-cache')
      assert.equal(response.headers['content-length'], undefined)
    }
    assert.equal((await get(url, { 'if-none-match': '"1-1-other"' })).statusCode, 200)
  })

  const strangers = [
    '0199f3c2-0000-7000-8000-000000000001',
    '1',
    'x'.repeat(5_000),
    '%00',
    '%ff',
    "'--",
    '%2e%2e',
    '🙂',
  ]
  for (const id of strangers) {
    const shown = id.length > 40 ? `${id.slice(0, 8)}… (${id.length})` : id
    test(`an id that names nothing is not found: ${shown}`, async () => {
      for (const path of [
        `/products/${id}`,
        `/products/${id}/images`,
        `/images/${id}`,
        `/images/${id}/attempts`,
      ]) {
        const response = await get(encodeURI(path).replaceAll('%25', '%'))
        assert.equal(response.statusCode, 404, path)
        assert.equal(response.json().code, 'not_found')
      }
      const retries = [`/images/${id}/retry`, `/products/${id}/images/retry`]
      // Of two dots, whoever sends it makes `/images/retry`: another address.
      for (const path of id === '%2e%2e' ? retries.slice(0, 1) : retries) {
        const url = encodeURI(path).replaceAll('%25', '%')
        assert.equal((await api.app.inject({ method: 'POST', url })).statusCode, 404, path)
      }
    })
  }

  test('a list is newest first, in pages that neither repeat nor skip', async () => {
    const user_id = 'pages'
    const names = ['one', 'two', 'three', 'four', 'five']
    for (const product_name of names) await post(api.app, { ...sample, user_id, product_name })
    const seen: string[] = []
    let url: string | undefined = `/api/v1/products?user_id=${user_id}&limit=2`
    while (url) {
      const response: Awaited<ReturnType<typeof get>> = await get(url)
      const { data, next_cursor } = response.json()
      seen.push(...data.map((product: { product_name: string }) => product.product_name))
      // One more comes while the client pages: it does not disturb.
      await post(api.app, { ...sample, user_id, product_name: 'later' })
      const link = String(response.headers.link)
      assert.match(link, /<\/api\/v1\/products\?user_id=pages&limit=2>; rel="first"/)
      url = /<([^>]*)>; rel="next"/.exec(link)?.[1]
      assert.equal(url === undefined, next_cursor === null)
      if (url) assert.equal(new URL(url, 'http://x').searchParams.get('cursor'), next_cursor)
    }
    assert.deepEqual(seen, names.toReversed())
  })

  test('filters narrow the list down, decimals count, wildcards are plain characters', async () => {
    const user_id = 'filters'
    const products: [name: string, price: number][] = [
      ['Red Chair', 49.99],
      ['Blue chair', 50],
      ['Table 100% oak', 200],
      ['Table_under', 200.01],
    ]
    for (const [product_name, product_price] of products)
      await post(api.app, { ...sample, user_id, product_name, product_price })
    const names = async (query: string) =>
      (await get(`/products?${query}`))
        .json()
        .data.map((product: { product_name: string }) => product.product_name)
    assert.deepEqual(await names('user_id=filters&min_price=50&max_price=200'), [
      'Table 100% oak',
      'Blue chair',
    ])
    assert.deepEqual(await names('user_id=filters&min_price=200.005'), ['Table_under'])
    assert.deepEqual(await names('user_id=filters&max_price=49.99'), ['Red Chair'])
    assert.deepEqual(await names('product_name=CHAIR'), ['Blue chair', 'Red Chair'])
    assert.deepEqual(await names('product_name=0%25+oak'), ['Table 100% oak'])
    assert.deepEqual(await names('user_id=filters&product_name=%25'), ['Table 100% oak'])
    assert.deepEqual(await names('user_id=filters&product_name=_'), ['Table_under'])
    assert.deepEqual(await names('user_id=filters&min_price=300&unknown=1'), [])
    assert.deepEqual(await names('user_id=nobody'), [])
  })

  test('a cursor of another filter is a mismatch, a changed one invalid', async () => {
    for (const product_name of ['a', 'b'])
      await post(api.app, { ...sample, user_id: 'cursor', product_name })
    const { next_cursor } = (await get('/products?user_id=cursor&limit=1')).json()
    const mismatch = await get(`/products?user_id=other&limit=1&cursor=${next_cursor}`)
    assert.deepEqual([mismatch.statusCode, mismatch.json().code], [400, 'cursor_mismatch'])
    const changed = await get(`/products?user_id=cursor&cursor=${next_cursor.slice(0, -1)}`)
    assert.deepEqual([changed.statusCode, changed.json().code], [400, 'invalid_cursor'])
    const other = await get(`/products?user_id=cursor&limit=50&cursor=${next_cursor}`)
    assert.equal(other.json().data.length, 1, 'another limit is no other list')
  })

  test('pictures are shown by product and by id, with their attempts', async () => {
    const product = (await post(api.app, sample)).json()
    const [image] = product.images
    assert.deepEqual((await get(`/products/${product.id}/images`)).json(), { data: [image] })
    assert.deepEqual((await get(`/images/${image.id}`)).json(), image)
    assert.deepEqual((await get(`/images/${image.id}/attempts`)).json(), { data: [] })
  })

  test('of a picture that was tried very often the newest attempts are shown, in their order', async () => {
    const [image] = (await post(api.app, sample)).json().images
    await sql`
      INSERT INTO image_attempts (image_id, number, claim, worker)
      SELECT ${image.id}, n, gen_random_uuid(), 'w1' FROM generate_series(1, 103) n`.execute(
      api.database.database.db,
    )
    const { data } = (await get(`/images/${image.id}/attempts`)).json()
    assert.deepEqual(
      data.map(({ number }: { number: number }) => number),
      Array.from({ length: 100 }, (_, at) => at + 4),
    )
  })

  test('a picture that waits is made due by a retry, whatever body comes with it', async () => {
    const product = (await post(api.app, sample)).json()
    const url = `/images/${product.images[0].id}/retry`
    const bodies: [type: string | undefined, payload: string][] = [
      [undefined, ''],
      ['application/json', ''],
      ['application/json', '{}'],
      ['application/json', 'nonsense'],
      ['application/x-www-form-urlencoded', 'a=1'],
    ]
    for (const [type, payload] of bodies) {
      const headers = type ? { 'content-type': type } : {}
      const response = await api.app.inject({ method: 'POST', url, headers, payload })
      assert.equal(response.statusCode, 202, response.body)
      assert.equal(response.json().status, 'queued')
    }
  })

  test('failed pictures of a product are run again, and a read afterwards shows it', async () => {
    const product_images = [1, 2].map((n) => `https://example.com/failed/${n}.jpg`)
    const { id, images } = (await post(api.app, { ...sample, product_images })).json()
    const work = createPictureWork(api.database)
    for (const image of images) {
      await work.fail((await work.claim(image.id))!, new AppError('not_an_image', 'No picture.'))
    }
    const before = await get(`/products/${id}`)
    // Kept in memory as it is now.
    assert.equal((await get(`/products/${id}`)).json().processing_status, 'failed')
    const retry = (base: string, shown: string) =>
      api.app.inject({ method: 'POST', url: `${base}/products/${shown}/images/retry` })

    const retried = await retry('/api/v1', id.toUpperCase())
    assert.equal(retried.statusCode, 202, retried.body)
    assert.deepEqual(
      retried.json().data.map((image: { status: string; error: unknown }) => image.status),
      ['queued', 'queued'],
    )
    assert.deepEqual(retried.json(), (await get(`/products/${id}/images`)).json())
    const after = await get(`/products/${id}`)
    assert.notEqual(after.headers.etag, before.headers.etag)
    assert.equal(after.json().processing_status, 'processing')
    assert.equal(after.json().version, before.json().version + 1)

    const refused = await retry('', id)
    assert.deepEqual([refused.statusCode, refused.json().code], [409, 'conflict'])
    assert.equal((await get(`/products/${id}`)).headers.etag, after.headers.etag)
  })

  test('the trace of a request goes into the jobs that it causes', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, 'x-request-id': 'traced-1' }
    await post(api.app, sample, headers)
    const { rows } = await sql<{ trace: string }>`
      SELECT trace FROM jobs WHERE payload ->> 'requestId' = 'traced-1'`.execute(
      api.database.database.db,
    )
    assert.match(
      rows[0]?.trace ?? '',
      new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`),
    )
    const line = api.lines.find(({ request_id }) => request_id === 'traced-1')
    assert.equal(line?.trace_id, traceId)
  })
})
