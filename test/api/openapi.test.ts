// The published description is true: it names every route, and what is really answered fits it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { sql } from 'kysely'
import { openApi, post, sample, type TestApi } from '../support/api.ts'

interface Operation {
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { content?: Record<string, { schema: object }> }>
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}

let api: TestApi
let document: Document
let ajv: Ajv2020
before(async () => {
  api = await openApi()
  document = (await api.app.inject('/openapi.json')).json()
  ajv = new Ajv2020({
    strict: false,
    formats: { uuid: true, 'date-time': true, 'uri-reference': true, binary: true },
  })
  ajv.addSchema({ ...document, $id: 'openapi' })
})
after(() => api[Symbol.asyncDispose]())

/** Asserts that an answer is described for this operation, and fits its description. */
async function assertDescribed(
  method: string,
  path: string,
  response: { statusCode: number; headers: object; body: string },
) {
  const operation = document.paths[path]?.[method]
  assert.ok(operation, `${method} ${path} is not described`)
  const described = operation.responses[response.statusCode]
  assert.ok(described, `${method} ${path} answers ${response.statusCode}, which is not described`)
  const type =
    String((response.headers as Record<string, unknown>)['content-type']).split(';')[0] ?? ''
  assert.ok(described.content?.[type], `${method} ${path} answers ${type}`)
  const pointer = [
    'paths',
    path,
    method,
    'responses',
    response.statusCode,
    'content',
    type,
    'schema',
  ]
    .map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1'))
    .map(encodeURIComponent)
    .join('/')
  const validate = ajv.getSchema(`openapi#/${pointer}`)
  assert.ok(validate)
  assert.ok(
    validate(JSON.parse(response.body)),
    JSON.stringify([method, path, validate.errors, response.body]),
  )
}

test('it is OpenAPI 3.1 and names every route, by both bases', async () => {
  assert.equal(document.openapi, '3.1.0')
  assert.deepEqual(
    Object.entries(document.paths)
      .flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method} ${path}`))
      .sort(),
    [
      'delete /products/{id}',
      'get /events',
      'get /health',
      'get /health/{dependency}',
      'get /images/{id}',
      'get /images/{id}/attempts',
      'get /livez',
      'get /media/{key}',
      'get /problems/{code}',
      'get /products',
      'get /products/{id}',
      'get /products/{id}/events',
      'get /products/{id}/images',
      'get /readyz',
      'patch /products/{id}',
      'post /images/{id}/retry',
      'post /products',
      'put /products',
      'put /products/{id}',
    ],
  )
  assert.equal((await api.app.inject('/api/v1/openapi.json')).body, JSON.stringify(document))
})

test('every reference in it leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)].map(
    ([, reference]) => reference ?? '',
  )
  assert.ok(references.length > 10)
  for (const reference of references) {
    assert.match(reference, /^#\/components\/schemas\/\w+$/)
    assert.ok(document.components.schemas[reference.split('/')[3] ?? ''], reference)
  }
})

test('money is published with two decimals, though Ajv could not check it', () => {
  const body = document.paths['/products']?.post?.requestBody?.content['application/json']
  assert.ok(body)
  const { properties } = body.schema as { properties: Record<string, { multipleOf?: number }> }
  assert.equal(properties.product_price?.multipleOf, 0.01)
})

test('what is answered fits its description', async () => {
  const created = await post(api.app, sample)
  await assertDescribed('post', '/products', created)
  const product = created.json()
  const image = product.images[0].id
  await sql`
    INSERT INTO image_attempts (image_id, number, claim, worker, trace_id, finished_at, stage, outcome, code, http_status, timings)
    VALUES (${image}, 1, gen_random_uuid(), 'w1', null, now(), 'download', 'failed', 'origin_not_found', 404, '{"download": 12.5}'),
           (${image}, 2, gen_random_uuid(), 'w1', 'abc', null, 'claim', null, null, null, null)`.execute(
    api.database.database.db,
  )
  const gets: [path: string, url: string][] = [
    ['/products/{id}', `/products/${product.id}`],
    ['/products/{id}', '/products/1'],
    ['/products', '/products?limit=1'],
    ['/products', '/products?limit=x'],
    ['/products', '/products?cursor=x'],
    ['/products/{id}/images', `/products/${product.id}/images`],
    ['/products/{id}/images', '/products/1/images'],
    ['/images/{id}', `/images/${image}`],
    ['/images/{id}', '/images/1'],
    ['/images/{id}/attempts', `/images/${image}/attempts`],
    ['/images/{id}/attempts', '/images/1/attempts'],
    ['/livez', '/livez'],
    ['/readyz', '/readyz'],
    ['/health', '/health'],
    ['/health/{dependency}', '/health/database'],
    ['/health/{dependency}', '/health/nothing'],
    ['/problems/{code}', '/problems/conflict'],
    ['/problems/{code}', '/problems/nothing'],
    ['/media/{key}', '/media/nothing.jpg'],
  ]
  for (const [path, url] of gets) await assertDescribed('get', path, await api.app.inject(url))
  const attempts = (await api.app.inject(`/images/${image}/attempts`)).json()
  assert.equal(attempts.data.length, 2)

  const retry = await api.app.inject({ method: 'POST', url: `/images/${image}/retry` })
  assert.equal(retry.statusCode, 202)
  await assertDescribed('post', '/images/{id}/retry', retry)
  await assertDescribed(
    'post',
    '/images/{id}/retry',
    await api.app.inject({ method: 'POST', url: '/images/1/retry' }),
  )
  await assertDescribed('post', '/products', await post(api.app, {}))
  await assertDescribed('post', '/products', await post(api.app, '{'))
  await assertDescribed(
    'post',
    '/products',
    await post(api.app, '', { 'content-type': 'text/plain' }),
  )
  await assertDescribed('post', '/products', await post(api.app, ' '.repeat(2_000_000)))

  api.health.setStopping()
  await assertDescribed('get', '/readyz', await api.app.inject('/readyz'))
})
