// The published description is whole, and its examples are true. That what is answered fits it is
// asserted of every answer in every test of the API (support/described.ts).

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import { sql } from 'kysely'
import { createUnconnectedServer, renderOpenapi } from '../../scripts/openapi.ts'
import { AppError } from '../../src/errors.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'
import {
  createJudge,
  type OpenApiDocument,
  type Operation,
  watchDescribed,
} from '../support/described.ts'
import { createPictureWork } from '../support/picture-work.ts'

const document: OpenApiDocument = JSON.parse(await renderOpenapi())
const judge = createJudge(document)

const operations: [path: string, method: string, operation: Operation][] = Object.entries(
  document.paths,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
    path,
    method,
    operation,
  ]),
)

function sharedResponse(reference: unknown) {
  return document.components.responses[String(reference).split('/').at(-1) ?? ''] ?? {}
}

test('openapi.json is what the routes say; npm run docs renews it', async () => {
  const file = new URL('../../openapi.json', import.meta.url)
  assert.equal(await readFile(file, 'utf8'), await renderOpenapi())
})

test('it is OpenAPI 3.1 and names every route', async () => {
  assert.equal(document.openapi, '3.1.0')
  const app = createUnconnectedServer()
  const routes = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) {
      // HEAD goes without saying where GET is; the reference and the document do not describe themselves.
      if (one === 'HEAD' || /^\/(docs|openapi\.json)(\/|$)/.test(url)) continue
      routes.add(`${one.toLowerCase()} ${url.replace(/:(\w+)/g, '{$1}').replace('*', '{key}')}`)
    }
  })
  await app.ready()
  assert.ok(routes.size > 15)
  assert.deepEqual(
    operations.map(([path, method]) => `${method} ${path}`).sort(),
    [...routes].sort(),
  )
})

test('every operation has a name of its own, for those who make clients from it', () => {
  const names = operations.map(([, , { operationId }]) => operationId)
  for (const name of names) assert.match(String(name), /^[a-z]+[A-Za-z]+$/)
  assert.equal(new Set(names).size, names.length)
})

test('every reference in it leads somewhere', () => {
  const references = JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/([\w-]+)"/g)
  const found = [...references].map(([, kind, name]) => [kind, name] as const)
  assert.ok(found.length > 100)
  assert.equal(JSON.stringify(document).split('"$ref"').length - 1, found.length)
  for (const [kind, name] of found) {
    const { components } = document as unknown as { components: Record<string, object> }
    assert.ok(Object.hasOwn(components[kind ?? ''] ?? {}, name ?? ''), `${kind} ${name}`)
  }
})

test('every answer names the header that finds it in the log, and who is sent away is told how long', () => {
  for (const [path, method, { responses }] of operations) {
    for (const [status, response] of Object.entries(responses)) {
      const { headers = {} } = '$ref' in response ? sharedResponse(response.$ref) : response
      assert.ok(headers['X-Request-Id'], `${method} ${path} ${status}`)
      assert.equal(headers['Retry-After'] !== undefined, status === '503', `${method} ${path}`)
    }
  }
})

test('money is published with two decimals, though Ajv could not check it', () => {
  const body = document.paths['/products']?.post?.requestBody?.content['application/json']
  assert.ok(body)
  const { properties } = body.schema as { properties: Record<string, { multipleOf?: number }> }
  assert.equal(properties.product_price?.multipleOf, 0.01)
})

describe('its examples are true', () => {
  test('those of bodies that are sent', () => {
    const bodies = operations.filter(([, , { requestBody }]) => requestBody)
    assert.equal(bodies.length, 4)
    for (const [path, method, { requestBody }] of bodies) {
      for (const [type, { example }] of Object.entries(requestBody?.content ?? {})) {
        assert.ok(example, `${method} ${path}`)
        const place = ['paths', path, method, 'requestBody', 'content', type, 'schema']
        assert.equal(judge(place, example), undefined)
      }
    }
  })

  test('those of problems: each is of the status under which it stands', () => {
    let count = 0
    for (const [path, method, { responses }] of operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        const { examples = {} } = content?.['application/problem+json'] ?? {}
        for (const [code, { value }] of Object.entries(examples)) {
          count++
          const problem = value as { code: string; status: number }
          assert.deepEqual([problem.code, problem.status], [code, Number(status)])
          const place = ['paths', path, method, 'responses', status, 'content']
          assert.equal(judge([...place, 'application/problem+json', 'schema'], value), undefined)
        }
      }
    }
    assert.ok(count > 30)
  })

  test('those of problems that come before any route', () => {
    for (const [name, { content }] of Object.entries(document.components.responses)) {
      const { examples = {} } = content?.['application/problem+json'] ?? {}
      const place = ['components', 'schemas', 'Problem']
      for (const { value } of Object.values(examples)) assert.equal(judge(place, value), undefined)
      assert.equal(Object.keys(examples).length, 1, name)
    }
  })

  test('those of what is shown', () => {
    for (const name of ['Product', 'Image']) {
      const [example] = document.components.schemas[name]?.examples ?? []
      assert.ok(example, name)
      assert.equal(judge(['components', 'schemas', name], example), undefined)
    }
  })
})

describe('what is answered', () => {
  let api: TestApi
  before(async () => {
    api = await openApi()
  })
  after(() => api[Symbol.asyncDispose]())

  test('the document is the same by both bases', async () => {
    const published = await api.app.inject('/openapi.json')
    assert.deepEqual(published.json(), document)
    assert.equal((await api.app.inject('/api/v1/openapi.json')).body, published.body)
  })

  test('fits it in each of its forms', async () => {
    const product = (await post(api.app, sample)).json()
    const image = product.images[0].id
    await sql`
      INSERT INTO image_attempts (image_id, number, claim, worker, trace_id, finished_at, stage, outcome, code, http_status, timings)
      VALUES (${image}, 1, gen_random_uuid(), 'w1', null, now(), 'download', 'failed', 'origin_not_found', 404, '{"download": 12.5}'),
             (${image}, 2, gen_random_uuid(), 'w1', 'abc', null, 'claim', null, null, null, null)`.execute(
      api.database.database.db,
    )
    const urls: [url: string, status: number][] = [
      [`/products/${product.id}`, 200],
      ['/products/1', 404],
      ['/products?limit=1&include=total', 200],
      ['/products?limit=x', 400],
      ['/products?cursor=x', 400],
      [`/products/${product.id}/images`, 200],
      ['/products/1/images', 404],
      [`/images/${image}`, 200],
      ['/images/1', 404],
      [`/images/${image}/attempts`, 200],
      ['/images/1/attempts', 404],
      ['/livez', 200],
      ['/readyz', 200],
      ['/health', 200],
      ['/health/database', 200],
      ['/health/cache', 200],
      ['/redis-health', 200],
      ['/health/nothing', 404],
      ['/problems/conflict', 200],
      ['/problems/nothing', 404],
      ['/media/nothing.jpg', 404],
      ['/events?after=x', 400],
    ]
    for (const [url, status] of urls) {
      assert.equal((await api.app.inject(url)).statusCode, status, url)
    }
    const retry = async (url: string) =>
      (await api.app.inject({ method: 'POST', url: `${url}/retry` })).statusCode
    assert.deepEqual([await retry(`/images/${image}`), await retry('/images/1')], [202, 404])
    const pictures = `/products/${product.id}/images`
    assert.deepEqual([await retry(pictures), await retry('/products/1/images')], [409, 404])
    const work = createPictureWork(api.database)
    await work.fail((await work.claim(image))!, new AppError('not_an_image', 'No picture.'))
    assert.equal(await retry(pictures), 202)
    for (const [body, type, status] of [
      ['{}', 'application/json', 400],
      ['{', 'application/json', 400],
      ['', 'text/plain', 415],
      [' '.repeat(2_000_000), 'application/json', 413],
    ] as const) {
      assert.equal((await post(api.app, body, { 'content-type': type })).statusCode, status)
    }
    api.health.setStopping()
    assert.equal((await api.app.inject('/readyz')).statusCode, 503)
  })
})

test('an answer that does not fit is noticed, whatever is wrong with it', async () => {
  const app = Fastify()
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'x', version: '1' } } })
  const broken = watchDescribed(app as never)
  const schema = {
    response: {
      200: {
        description: 'x',
        headers: { 'x-named': { type: 'string' } },
        content: { 'application/json': { schema: { type: 'object', required: ['a'] } } },
      },
    },
  }
  app.setSerializerCompiler(() => JSON.stringify)
  app.get('/:what', { schema }, (request, reply) => {
    const { what } = request.params as { what: string }
    if (what === 'status') return reply.status(202 as 200).send({ a: 1 })
    if (what === 'type') return reply.type('text/plain').send('{"a":1}')
    if (what === 'header') return reply.header('x-other', '1').send({ a: 1 })
    if (what === 'nothing') return reply.send()
    return reply.header('x-named', '1').send(what === 'body' ? {} : { a: 1 })
  })
  const noticed: string[] = []
  for (const what of ['right', 'status', 'type', 'header', 'nothing', 'body']) {
    const before = broken.size
    await app.inject(`/${what}`)
    noticed.push(
      ...[...broken].slice(before).map((text) => `${what}: ${text.replace(/\[\{.*/, '')}`),
    )
  }
  assert.deepEqual(noticed, [
    'status: GET /{what} 202 is not described',
    'type: GET /{what} 200: a body of type text/plain',
    'header: GET /{what} 200 has an undescribed header field: x-other',
    'nothing: GET /{what} 200: no body where one is described',
    'body: GET /{what} 200: ',
  ])
  await app.close()
})
