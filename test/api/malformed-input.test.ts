// Every kind of malformed request: what status and code it is answered with, and which field is named.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import { BODY_LIMIT } from '../../src/http/json-body.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'

let api: TestApi
before(async () => {
  api = await openApi()
})
after(() => api[Symbol.asyncDispose]())

interface Refusal {
  status: number
  code: string
  errors?: [pointer: string, code: string][]
}

/** A problem that is complete, names exactly these fields, and left nothing behind. */
async function assertRefused(
  response: Awaited<ReturnType<typeof post>>,
  { status, code, errors = [] }: Refusal,
) {
  const problem = response.json()
  assert.equal(response.statusCode, status, response.body)
  assert.equal(response.headers['content-type'], 'application/problem+json')
  assert.equal(problem.status, status)
  assert.equal(problem.code, code)
  assert.equal(problem.type, `/problems/${code}`)
  assert.equal(problem.request_id, response.headers['x-request-id'])
  assert.ok(problem.title.length > 0 && problem.detail.length > 0)
  const named = (problem.errors ?? []).map((error: { pointer: string; code: string }) => [
    error.pointer,
    error.code,
  ])
  assert.deepEqual(named, errors, response.body)
  for (const error of problem.errors ?? []) assert.ok(error.detail.length > 0)
  const { rows } = await sql`SELECT id FROM users UNION ALL SELECT id::text FROM products`.execute(
    api.database.database.db,
  )
  assert.deepEqual(rows, [])
}

const invalid = (...errors: [pointer: string, code: string][]): Refusal => ({
  status: 400,
  code: 'invalid_input',
  errors,
})
const price = (text: string) =>
  JSON.stringify(sample).replace('"product_price":100', `"product_price":${text}`)
const without = (field: keyof typeof sample) => ({ ...sample, [field]: undefined })
const image = (url: unknown) => ({ ...sample, product_images: ['https://example.com/1.jpg', url] })

describe('a product with', () => {
  const cases: [name: string, body: object | string, refusal: Refusal][] = [
    ['no user', without('user_id'), invalid(['/user_id', 'required'])],
    ['a user that is null', { ...sample, user_id: null }, invalid(['/user_id', 'type'])],
    ['a user that is empty', { ...sample, user_id: '' }, invalid(['/user_id', 'minLength'])],
    ['a user of white space', { ...sample, user_id: ' \u00a0' }, invalid(['/user_id', 'pattern'])],
    [
      'a user of 129 characters',
      { ...sample, user_id: 'u'.repeat(129) },
      invalid(['/user_id', 'maxLength']),
    ],
    ['a user that is a fraction', { ...sample, user_id: 1.5 }, invalid(['/user_id', 'type'])],
    ['a user that is negative', { ...sample, user_id: -1 }, invalid(['/user_id', 'minimum'])],
    [
      'a user beyond exact integers',
      { ...sample, user_id: 2 ** 53 },
      invalid(['/user_id', 'maximum']),
    ],
    ['a user that is an object', { ...sample, user_id: {} }, invalid(['/user_id', 'type'])],
    ['a user that is true', { ...sample, user_id: true }, invalid(['/user_id', 'type'])],
    ['NUL in the user', { ...sample, user_id: 'a\0b' }, invalid(['/user_id', 'text'])],
    [
      'half a surrogate pair in the user',
      { ...sample, user_id: 'a\ud800' },
      invalid(['/user_id', 'text']),
    ],

    ['no name', without('product_name'), invalid(['/product_name', 'required'])],
    [
      'a name that is empty',
      { ...sample, product_name: '' },
      invalid(['/product_name', 'minLength']),
    ],
    [
      'a name of blanks',
      { ...sample, product_name: ' \t\u00a0' },
      invalid(['/product_name', 'pattern']),
    ],
    [
      'a name of 201 characters',
      { ...sample, product_name: 'n'.repeat(201) },
      invalid(['/product_name', 'maxLength']),
    ],
    ['a name that is a number', { ...sample, product_name: 7 }, invalid(['/product_name', 'type'])],
    ['a name that is null', { ...sample, product_name: null }, invalid(['/product_name', 'type'])],
    [
      'a name that is a list',
      { ...sample, product_name: ['a'] },
      invalid(['/product_name', 'type']),
    ],
    ['NUL in the name', { ...sample, product_name: 'a\0b' }, invalid(['/product_name', 'text'])],
    [
      'a low surrogate alone in the name',
      { ...sample, product_name: '\udc00b' },
      invalid(['/product_name', 'text']),
    ],

    [
      'a description of 10,001 characters',
      { ...sample, product_description: 'd'.repeat(10_001) },
      invalid(['/product_description', 'maxLength']),
    ],
    [
      'a description that is null',
      { ...sample, product_description: null },
      invalid(['/product_description', 'type']),
    ],
    [
      'NUL in the description',
      { ...sample, product_description: '\0' },
      invalid(['/product_description', 'text']),
    ],
    [
      'half a surrogate pair in the description',
      { ...sample, product_description: '\ud83d!' },
      invalid(['/product_description', 'text']),
    ],
    [
      'a word in the description that is too long for PostgreSQL once it is in lower case',
      { ...sample, product_description: `oak ${'Ⱥ'.repeat(683)}` },
      invalid(['/product_description', 'text']),
    ],

    ['no price', without('product_price'), invalid(['/product_price', 'required'])],
    ['a price that is null', price('null'), invalid(['/product_price', 'type'])],
    ['a price that is text', price('"5"'), invalid(['/product_price', 'type'])],
    ['a price that is true', price('true'), invalid(['/product_price', 'type'])],
    ['a negative price', price('-0.01'), invalid(['/product_price', 'minimum'])],
    ['three decimals', price('19.999'), invalid(['/product_price', 'multipleOf'])],
    [
      'a sum of floats',
      { ...sample, product_price: 0.1 + 0.2 },
      invalid(['/product_price', 'multipleOf']),
    ],
    ['a price of 1e-7', price('1e-7'), invalid(['/product_price', 'multipleOf'])],
    ['a price of 1e400', price('1e400'), invalid(['/product_price', 'type'])],
    ['a price of ten billions', price('10000000000'), invalid(['/product_price', 'maximum'])],

    [
      'pictures that are null',
      { ...sample, product_images: null },
      invalid(['/product_images', 'type']),
    ],
    [
      'pictures that are text',
      { ...sample, product_images: 'https://example.com/1.jpg' },
      invalid(['/product_images', 'type']),
    ],
    [
      '21 pictures',
      { ...sample, product_images: Array(21).fill('https://example.com/1.jpg') },
      invalid(['/product_images', 'maxItems']),
    ],
    ['a picture that is a number', image(5), invalid(['/product_images/1', 'type'])],
    ['a picture that is null', image(null), invalid(['/product_images/1', 'type'])],
    ['an empty URL', image(''), invalid(['/product_images/1', 'minLength'])],
    [
      'a URL of 2,049 characters',
      image(`https://example.com/${'x'.repeat(2_029)}`),
      invalid(['/product_images/1', 'maxLength']),
    ],
    ['NUL in a URL', image('https://example.com/\0'), invalid(['/product_images/1', 'text'])],
    [
      'half a surrogate pair in a URL',
      image('https://example.com/\ud800'),
      invalid(['/product_images/1', 'text']),
    ],
    ['a URL without scheme', image('example.com/1.jpg'), invalid(['/product_images/1', 'url'])],
    ['an ftp URL', image('ftp://example.com/1.jpg'), invalid(['/product_images/1', 'scheme'])],
    ['a file URL', image('file:///etc/passwd'), invalid(['/product_images/1', 'scheme'])],
    ['a data URL', image('data:image/png;base64,AAAA'), invalid(['/product_images/1', 'scheme'])],
    ['a javascript URL', image('javascript:alert(1)'), invalid(['/product_images/1', 'scheme'])],
    [
      'a URL with a password',
      image('https://user:secret@example.com/1.jpg'),
      invalid(['/product_images/1', 'credentials']),
    ],
    [
      'a URL with a user',
      image('https://user@example.com/1.jpg'),
      invalid(['/product_images/1', 'credentials']),
    ],
    [
      'a URL to port 22',
      image('http://example.com:22/1.jpg'),
      invalid(['/product_images/1', 'port']),
    ],
    ...[
      'http://127.0.0.1/',
      'http://127.1/',
      'http://0x7f.1/',
      'http://2130706433/',
      'http://0177.0.0.1/',
      'http://10.0.0.1/',
      'http://192.168.1.1/',
      'http://172.16.0.1/',
      'http://169.254.169.254/',
      'http://0.0.0.0/',
      'http://[::1]/',
      'http://[::ffff:10.0.0.1]/',
      'http://[fd00::1]/',
      'http://[fe80::1]/',
      'http://[::]/',
      'http://１２７.0.0.1/',
    ].map((url): [string, object, Refusal] => [
      `a picture at ${url}`,
      image(url),
      invalid(['/product_images/1', 'private_address']),
    ]),

    [
      'everything missing',
      {},
      invalid(
        ['/user_id', 'required'],
        ['/product_name', 'required'],
        ['/product_price', 'required'],
      ),
    ],
    [
      'three fields at fault',
      {
        ...sample,
        product_name: 5,
        product_price: -1,
        product_images: [1, 'https://example.com/', {}],
      },
      invalid(
        ['/product_name', 'type'],
        ['/product_price', 'minimum'],
        ['/product_images/0', 'type'],
        ['/product_images/2', 'type'],
      ),
    ],
    [
      'rules broken that only the catalogue knows, all of them named',
      {
        ...sample,
        product_name: '\0',
        product_price: 1.005,
        product_images: ['ftp://a/', 'http://127.1/'],
      },
      invalid(
        ['/product_name', 'text'],
        ['/product_price', 'multipleOf'],
        ['/product_images/0', 'scheme'],
        ['/product_images/1', 'private_address'],
      ),
    ],
    ['a list around it', [sample], invalid(['', 'type'])],
    ['nothing but null', 'null', invalid(['', 'type'])],
    ['nothing but text', '"product"', invalid(['', 'type'])],
    [
      'fields under __proto__',
      '{"__proto__":{"user_id":1,"product_name":"a","product_price":1}}',
      invalid(
        ['/user_id', 'required'],
        ['/product_name', 'required'],
        ['/product_price', 'required'],
      ),
    ],
  ]
  for (const [name, body, refusal] of cases) {
    const fields = refusal.errors?.map(([pointer, code]) => `${pointer} ${code}`).join(', ')
    test(`${name} is refused: ${fields}`, async () => {
      await assertRefused(await post(api.app, body), refusal)
    })
  }
})

describe('a body that', () => {
  const malformed: Refusal = { status: 400, code: 'malformed_json' }
  const unsupported: Refusal = { status: 415, code: 'unsupported_media_type' }
  const json = JSON.stringify(sample)
  const type = (contentType: string) => ({ 'content-type': contentType })
  const cases: [name: string, body: string | Buffer, headers: Record<string, string>, Refusal][] = [
    ['is empty', '', {}, malformed],
    ['is white space', ' \n', {}, malformed],
    ['is no JSON', 'product_name=x', {}, malformed],
    ['is cut off', json.slice(0, -5), {}, malformed],
    ['goes on after its end', `${json}x`, {}, malformed],
    ['is JavaScript', "{user_id: 1, product_name: 'a'}", {}, malformed],
    ['holds NaN', '{"product_price":NaN}', {}, malformed],
    ['is Latin-1', Buffer.from(json.replace('Sample', 'M\xfcsli'), 'latin1'), {}, malformed],
    ['is UTF-16', Buffer.from(json, 'utf16le'), {}, malformed],
    ['is nested 100,000 deep and never closed', '['.repeat(100_000), {}, malformed],
    ['is a form', 'user_id=1', type('application/x-www-form-urlencoded'), unsupported],
    ['is plain text', json, type('text/plain'), unsupported],
    ['is another kind of JSON', json, type('application/merge-patch+json'), unsupported],
    ['says it is Latin-1', json, type('application/json; charset=latin1'), unsupported],
    ['says it is UTF-16', json, type('application/json;charset="utf-16"'), unsupported],
    ['has a type that is none', json, type('json'), unsupported],
    ['has an empty type', json, type(''), unsupported],
    ['is compressed', json, { 'content-encoding': 'gzip' }, unsupported],
    [
      'is larger than the limit',
      ' '.repeat(BODY_LIMIT) + json,
      {},
      { status: 413, code: 'too_large' },
    ],
  ]
  for (const [name, body, headers, refusal] of cases) {
    test(`${name} is refused: ${refusal.code}`, async () => {
      await assertRefused(await post(api.app, body, headers), refusal)
    })
  }

  test('is not there at all is refused', async () => {
    const response = await api.app.inject({ method: 'POST', url: '/products' })
    await assertRefused(response, invalid(['', 'type']))
  })

  test('has no type is refused', async () => {
    const response = await api.app.inject({ method: 'POST', url: '/products', payload: json })
    await assertRefused(response, unsupported)
  })

  const mistakes: [body: string, detail: RegExp][] = [
    ['{"user_id": 1, "product_name": oops}', /position 31 \(line 1, column 32\)/],
    ['{\n  "user_id": 1,\n  product_name: 2\n}', /position 20 \(line 3, column 3\)/],
    ['{"user_id": 1', /ends too early, at position 13/],
    ['', /empty/],
  ]
  for (const [body, detail] of mistakes) {
    test(`stops being JSON is told where: ${JSON.stringify(body)}`, async () => {
      assert.match((await post(api.app, body)).json().detail, detail)
    })
  }

  test('breaks the same rule 300,000 times is refused quickly, with 20 errors at most', async () => {
    const many = { ...sample, product_images: Array(300_000).fill(1) }
    const started = process.cpuUsage()
    const problem = (await post(api.app, many)).json()
    const { user } = process.cpuUsage(started)
    // Of this process alone, whatever else the machine does; judging each of them takes minutes.
    assert.ok(user < 2_000_000, `${user} µs`)
    assert.equal(problem.errors.length, 20)
    assert.deepEqual(problem.errors[0].pointer, '/product_images')
    assert.equal(problem.errors[0].code, 'maxItems')
  })
})

test('a value that is none of a few is told which they are', async () => {
  for (const [query, detail] of [
    ['include=foo', 'must be total'],
    ['processing_status=foo', 'must be one of completed, processing, partial, failed'],
    [
      'sort=foo',
      'must be one of -created_at, created_at, product_price, -product_price, product_name, -product_name, relevance',
    ],
  ]) {
    const { errors } = (await api.app.inject(`/products?${query}`)).json()
    assert.equal(errors[0].detail, detail)
  }
})

describe('a list query with', () => {
  const cases: [query: string, Refusal][] = [
    ['limit=abc', invalid(['/limit', 'type'])],
    ['limit=', invalid(['/limit', 'type'])],
    ['limit=0', invalid(['/limit', 'minimum'])],
    ['limit=-1', invalid(['/limit', 'minimum'])],
    ['limit=101', invalid(['/limit', 'maximum'])],
    ['limit=1.5', invalid(['/limit', 'type'])],
    ['limit=1e1', invalid(['/limit', 'type'])],
    ['limit=0x10', invalid(['/limit', 'type'])],
    ['limit=99999999999999999999', invalid(['/limit', 'type'])],
    ['limit=1&limit=2', invalid(['/limit', 'repeated'])],
    ['min_price=abc', invalid(['/min_price', 'pattern'])],
    ['min_price=1e3', invalid(['/min_price', 'pattern'])],
    ['min_price=-1', invalid(['/min_price', 'pattern'])],
    ['min_price=1,5', invalid(['/min_price', 'pattern'])],
    ['min_price=', invalid(['/min_price', 'pattern'])],
    ['max_price=NaN', invalid(['/max_price', 'pattern'])],
    ['max_price=Infinity', invalid(['/max_price', 'pattern'])],
    ['max_price=99999999999', invalid(['/max_price', 'pattern'])],
    ['min_price=1&min_price=2', invalid(['/min_price', 'repeated'])],
    ['user_id=', invalid(['/user_id', 'minLength'])],
    [`user_id=${'u'.repeat(129)}`, invalid(['/user_id', 'maxLength'])],
    ['user_id=a&user_id=b', invalid(['/user_id', 'repeated'])],
    ['user_id=%00', invalid(['/user_id', 'text'])],
    ['user_id=%ff', invalid(['/user_id', 'encoding'])],
    ['user_id=%ED%A0%80', invalid(['/user_id', 'encoding'])],
    ['user_id=%', invalid(['/user_id', 'encoding'])],
    ['product_name=', invalid(['/product_name', 'minLength'])],
    ['product_name=ab', invalid(['/product_name', 'minLength'])],
    ['product_name=%F0%9F%98%80%F0%9F%98%80', invalid(['/product_name', 'minLength'])],
    [`product_name=${'n'.repeat(201)}`, invalid(['/product_name', 'maxLength'])],
    ['product_name=abc%00', invalid(['/product_name', 'text'])],
    [`cursor=${'x'.repeat(2_001)}`, invalid(['/cursor', 'maxLength'])],
    [
      'limit=x&min_price=x&user_id=',
      invalid(['/user_id', 'minLength'], ['/min_price', 'pattern'], ['/limit', 'type']),
    ],
    ['cursor=x', { status: 400, code: 'invalid_cursor' }],
    ['cursor=', { status: 400, code: 'invalid_cursor' }],
    ['cursor=W10', { status: 400, code: 'invalid_cursor' }],
  ]
  for (const [query, refusal] of cases) {
    const shown = query.length > 40 ? `${query.slice(0, 40)}…` : query
    test(`${shown} is refused: ${refusal.errors?.flat().join(' ') ?? refusal.code}`, async () => {
      await assertRefused(await api.app.inject(`/products?${query}`), refusal)
    })
  }
})

describe('what sounds alike but is right', () => {
  const accepted = async (body: object | string | Buffer, headers: Record<string, string> = {}) => {
    await using own = await openApi()
    const response = await post(own.app, body, headers)
    assert.equal(response.statusCode, 201, response.body)
    return response.json()
  }

  test('the largest legal product, escaped as widely as JSON allows, fits', async () => {
    const face = '\u{1f600}'
    const url = `https://example.com/${face.repeat((2_048 - 20) / 2)}`
    const escaped = (text: string) =>
      `"${text.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
    const body = `{
      "user_id": ${escaped(face.repeat(128))},
      "product_name": ${escaped(face.repeat(200))},
      "product_description": ${escaped(face.repeat(10_000))},
      "product_price": 9999999999.99,
      "product_images": [${Array(20).fill(escaped(url)).join()}]
    }`
    assert.ok(body.length > 369_000 && body.length < BODY_LIMIT, String(body.length))
    const created = await accepted(body)
    assert.equal(created.product_name, face.repeat(200))
    assert.deepEqual(created.product_images, Array(20).fill(url))
  })

  test('JSON says so in many ways', async () => {
    await using own = await openApi()
    const types = [
      'application/json',
      'Application/JSON',
      'application/json; charset=utf-8',
      'application/json;charset=UTF-8',
      'application/json; charset="utf-8"',
      'application/json; version=1',
    ]
    for (const type of types) {
      const response = await post(own.app, sample, { 'content-type': type })
      assert.equal(response.statusCode, 201, type)
    }
    const marked = await post(own.app, Buffer.from(`\ufeff${JSON.stringify(sample)}`))
    assert.equal(marked.statusCode, 201, 'a byte order mark')
  })

  test('every price of two decimals is taken and comes back as it is', async () => {
    await using own = await openApi()
    const prices = [
      0, 0.01, 0.1, 0.29, 0.57, 1, 1.1, 2.2, 4.35, 8.2, 19.99, 64.1, 1e3, 1_000_000.07,
      9_999_999_999.99,
    ]
    for (const product_price of prices) {
      const response = await post(own.app, { ...sample, product_price })
      assert.equal(response.json().product_price, product_price, response.body)
    }
  })

  test('unknown fields are ignored, and what the service decides cannot be sent', async () => {
    const created = await accepted({
      ...sample,
      id: '0199f3c2-0000-7000-8000-000000000001',
      version: 99,
      edit: 99,
      processing_status: 'completed',
      compressed_product_images: ['https://evil.example/x.jpg'],
      images: [{ status: 'ready' }],
      created_at: '1999-01-01T00:00:00Z',
      colour: 'red',
    })
    assert.notEqual(created.id, '0199f3c2-0000-7000-8000-000000000001')
    assert.equal(created.version, 1)
    assert.deepEqual(created.compressed_product_images, [])
    assert.equal(created.processing_status, 'processing')
    assert.equal(created.images[0].status, 'queued')
    assert.doesNotMatch(created.created_at, /^1999/)
    assert.ok(!('colour' in created) && !('edit' in created))
  })

  test('limits themselves are within them', async () => {
    const created = await accepted({
      user_id: Number.MAX_SAFE_INTEGER,
      product_name: '\u{1f600}'.repeat(200),
      product_description: 'd'.repeat(10_000),
      product_price: 0,
      product_images: Array(20).fill(`https://example.com/${'x'.repeat(2_028)}`),
    })
    assert.equal(created.user_id, '9007199254740991')
    assert.equal(created.images.length, 20)
  })
})
