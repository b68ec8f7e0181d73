// Lists over HTTP: orders, searches, pages, totals, and what is refused.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { ProductDocument } from '../../src/products/product.ts'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'
import { describeOnEachDatabase } from '../support/database.ts'

describeOnEachDatabase('lists over HTTP', (engine) => {
  let api: TestApi
  const made = [
    { product_name: 'Oak chair', product_price: 49.99 },
    { product_name: 'Folding chair', product_price: 50 },
    { product_name: 'oak table', product_price: 200, product_images: [] },
    { product_name: 'Zebra rug', product_price: 50, product_description: 'Beside an oak chair.' },
  ]
  before(async () => {
    api = await openApi({ engine })
    for (const product of made) {
      const created = await post(api.app, { ...sample, user_id: 'shop', ...product })
      assert.equal(created.statusCode, 201)
    }
  })
  after(() => api[Symbol.asyncDispose]())

  const get = (url: string, headers: Record<string, string> = {}) =>
    api.app.inject({ url, headers })
  const names = async (query: string) => {
    const response = await get(`/products?${query}`)
    assert.equal(response.statusCode, 200, response.body)
    return response.json().data.map((product: ProductDocument) => product.product_name)
  }

  const orders: [query: string, names: string[]][] = [
    ['', ['Zebra rug', 'oak table', 'Folding chair', 'Oak chair']],
    ['sort=-created_at', ['Zebra rug', 'oak table', 'Folding chair', 'Oak chair']],
    ['sort=created_at', ['Oak chair', 'Folding chair', 'oak table', 'Zebra rug']],
    ['sort=product_price', ['Oak chair', 'Folding chair', 'Zebra rug', 'oak table']],
    ['sort=-product_price', ['oak table', 'Zebra rug', 'Folding chair', 'Oak chair']],
    ['sort=product_name', ['Folding chair', 'Oak chair', 'Zebra rug', 'oak table']],
    ['sort=-product_name', ['oak table', 'Zebra rug', 'Oak chair', 'Folding chair']],
    ['q=oak+chairs&sort=relevance', ['Oak chair', 'Zebra rug']],
    ['q=oak+cha&sort=product_name', ['Oak chair', 'Zebra rug']],
    ['q=%22folding+chair%22', ['Folding chair']],
    ['q=', []],
    ['q=%F0%9F%99%82+%22%27%5C%26', []],
    ['processing_status=completed', ['oak table']],
    ['processing_status=failed', []],
    ['user_id=shop&product_name=%C3%A4', []],
    [
      'user_id=shop&q=chair&min_price=50&processing_status=processing&sort=product_name',
      ['Folding chair', 'Zebra rug'],
    ],
  ]
  for (const [query, expected] of orders) {
    test(`?${query} is ${expected.join(', ') || 'empty'}`, async () => {
      assert.deepEqual(await names(query), expected)
    })
  }

  const pagings = [
    'sort=-product_price',
    'sort=product_name&user_id=shop',
    'q=oak+or+chair&sort=relevance',
  ]
  for (const query of pagings) {
    test(`?${query} is paged through by Link, as by next_cursor`, async () => {
      const whole = (await get(`/products?${query}&limit=100`)).json().data
      const seen: ProductDocument[] = []
      let url: string | undefined = `/api/v1/products?${query}&limit=1&include=total`
      while (url) {
        const response: Awaited<ReturnType<typeof get>> = await get(url)
        const { data, next_cursor, total } = response.json()
        seen.push(...data)
        assert.equal(total, whole.length)
        const link = String(response.headers.link)
        assert.match(link, /<\/api\/v1\/products\?[^>]*limit=1[^>]*>; rel="first"/)
        url = /<([^>]*)>; rel="next"/.exec(link)?.[1]
        const cursor = url && new URL(url, 'http://x').searchParams.get('cursor')
        assert.equal(cursor ?? null, next_cursor)
      }
      assert.deepEqual(seen, whole)
    })
  }

  test('the total comes when asked for, and says when it is only the least', async () => {
    assert.equal((await get('/products')).json().total, undefined)
    const { total, total_is_minimum, data } = (
      await get('/products?include=total&q=chair&limit=1')
    ).json()
    assert.deepEqual([total, total_is_minimum, data.length], [3, undefined, 1])
    const none = (await get('/products?include=total&q=nothing')).json()
    assert.deepEqual(none, { data: [], next_cursor: null, total: 0 })
  })

  test('a client that has the list already gets 304 until something in it changes', async () => {
    const url = '/products?user_id=tagged&include=total'
    await post(api.app, { ...sample, user_id: 'tagged' })
    const first = await get(url)
    const etag = String(first.headers.etag)
    assert.match(etag, /^(W\/)?"[\w-]{22}"$/)
    assert.equal(first.headers['cache-control'], 'no-cache')
    const again = await get(url, { 'if-none-match': `"x", ${etag}` })
    assert.equal(again.statusCode, 304)
    assert.equal(again.body, '')
    assert.equal(again.headers.etag, etag)
    assert.equal((await get(`${url}&limit=1`)).headers.etag, etag, 'the same bytes')
    await post(api.app, { ...sample, user_id: 'tagged' })
    const changed = await get(url, { 'if-none-match': etag })
    assert.equal(changed.statusCode, 200)
    assert.notEqual(changed.headers.etag, etag)
  })

  test('the links of a list that is asked for without parameters have none but the cursor', async () => {
    const links = String((await get('/products')).headers.link)
    assert.equal(links, '</api/v1/products>; rel="first"')
    const cut = String((await get('/products?limit=1')).headers.link)
    assert.match(
      cut,
      /^<\/api\/v1\/products\?limit=1&cursor=[\w-]+>; rel="next", <\/api\/v1\/products\?limit=1>; rel="first"$/,
    )
  })

  test('HEAD answers as GET, without the list', async () => {
    const shown = await get('/products?limit=1')
    const head = await api.app.inject({ method: 'HEAD', url: '/products?limit=1' })
    assert.equal(head.statusCode, 200)
    assert.equal(head.body, '')
    assert.equal(head.headers.etag, shown.headers.etag)
    assert.equal(head.headers.link, shown.headers.link)
  })

  const longest = 'a'.repeat(200)
  test('the cursor of the longest name fits into a query', async () => {
    for (const product_name of ['🙂'.repeat(200), '\u0001'.repeat(200), longest]) {
      await post(api.app, { ...sample, user_id: 'long', product_name })
    }
    const seen: string[] = []
    let url: string | undefined = '/products?user_id=long&sort=-product_name&limit=1'
    while (url) {
      const response: Awaited<ReturnType<typeof get>> = await get(url)
      assert.equal(response.statusCode, 200, response.body)
      seen.push(response.json().data[0].product_name)
      url = /<([^>]*)>; rel="next"/.exec(String(response.headers.link))?.[1]
    }
    assert.deepEqual(seen, ['🙂'.repeat(200), longest, '\u0001'.repeat(200)])
  })

  test('a cursor leads on in its own list only, and only as it was handed out', async () => {
    const { next_cursor } = (await get('/products?sort=product_price&limit=1')).json()
    const code = async (query: string) => {
      const response = await get(`/products?${query}`)
      return [response.statusCode, response.json().code]
    }
    const mismatch = [400, 'cursor_mismatch']
    assert.deepEqual(await code(`cursor=${next_cursor}`), mismatch)
    assert.deepEqual(await code(`sort=-product_price&cursor=${next_cursor}`), mismatch)
    assert.deepEqual(await code(`sort=product_price&q=a&cursor=${next_cursor}`), mismatch)
    const invalid = [400, 'invalid_cursor']
    assert.deepEqual(await code(`sort=product_price&cursor=${next_cursor}x`), invalid)
    assert.deepEqual(await code(`sort=product_price&cursor=${next_cursor.slice(1)}`), invalid)
    const more = `sort=product_price&limit=9&include=total&cursor=${next_cursor}`
    assert.equal((await get(`/products?${more}`)).statusCode, 200, 'limit and total are no filter')
  })

  const refusals: [query: string, pointer: string, rule: string][] = [
    ['sort=relevance', '/sort', 'dependentRequired'],
    ['sort=price', '/sort', 'enum'],
    ['sort=', '/sort', 'enum'],
    ['include=images', '/include', 'enum'],
    ['processing_status=done', '/processing_status', 'enum'],
    ['product_name=ab', '/product_name', 'minLength'],
    ['product_name=%F0%9F%99%82%F0%9F%99%82', '/product_name', 'minLength'],
    ['q=a%00b', '/q', 'text'],
    ['q=%ff', '/q', 'encoding'],
    ['q=a&q=b', '/q', 'repeated'],
  ]
  for (const [query, pointer, rule] of refusals) {
    test(`?${query} is refused: ${pointer} ${rule}`, async () => {
      const response = await get(`/products?${query}`)
      assert.equal(response.statusCode, 400, response.body)
      const { code, errors } = response.json()
      assert.equal(code, 'invalid_input')
      assert.deepEqual(
        errors.map((error: { pointer: string; code: string }) => [error.pointer, error.code]),
        [[pointer, rule]],
      )
    })
  }

  test('everything at fault in a query is named at once', async () => {
    const { errors } = (await get('/products?product_name=a&sort=relevance')).json()
    assert.deepEqual(
      errors.map((error: { pointer: string }) => error.pointer),
      ['/product_name', '/sort'],
    )
  })

  test('the answer to the longest search can be read, and leads on', async () => {
    const origin = `http://127.0.0.1:${await listen(api.app)}`
    const user_id = '🙂'.repeat(128)
    const product_name = '🙂'.repeat(200)
    for (const _ of [1, 2]) {
      await post(api.app, { ...sample, user_id, product_name, product_description: 'chair' })
    }
    const searches = [
      { q: `chair ${'('.repeat(5_000)}` },
      { q: `chair ${'('.repeat(5_000)}`, sort: 'relevance' },
      { q: `chair or ${'木'.repeat(1_000)}`, user_id, product_name, sort: 'product_name' },
    ]
    for (const search of searches) {
      const parameters = new URLSearchParams({ ...search, limit: '1' })
      const first = await fetch(`${origin}/products?${parameters}`)
      const link = first.headers.get('link') ?? ''
      assert.equal(first.status, 200)
      const page = (await first.json()) as { data: ProductDocument[]; next_cursor: string }
      const next = /<([^>]*)>; rel="next"/.exec(link)?.[1] ?? assert.fail(link)
      const byCursor = new URLSearchParams({ ...search, cursor: page.next_cursor })
      for (const path of [next, `/products?${byCursor}`]) {
        const second = await fetch(`${origin}${path}`)
        assert.equal(second.status, 200, await second.clone().text())
        const { data } = (await second.json()) as { data: ProductDocument[] }
        assert.notDeepEqual(data, page.data)
      }
      // What else there is in a link is bounded, too.
      assert.ok(link.length < 15_000, String(link.length))
      assert.equal(link.length < 8_192, link.includes('rel="first"'))
    }
  })

  test('a link names what counts of a search, cut between characters', async () => {
    const linked = async (q: string) => {
      const { headers } = await get(`/products?${new URLSearchParams({ q })}`)
      const [, query = ''] = /\?([^>]*)>; rel="first"/.exec(String(headers.link)) ?? []
      return new URLSearchParams(query).get('q')
    }
    assert.equal(await linked('('.repeat(4_000)), '('.repeat(1_000))
    assert.equal(await linked(`${'🙂'.repeat(1_000)}`), '🙂'.repeat(500))
    assert.equal(await linked(`a${'🙂'.repeat(1_000)}`), `a${'🙂'.repeat(499)}`)
  })

  test('10,000 characters are a search like any other', async () => {
    for (const q of ['chair '.repeat(1_600), 'x'.repeat(10_000), '"('.repeat(5_000)]) {
      const response = await get(`/products?${new URLSearchParams({ q, sort: 'relevance' })}`)
      assert.equal(response.statusCode, 200, response.body)
    }
  })
})
