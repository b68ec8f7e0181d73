// The OpenAPI 3.1 document, made from the schemas of the routes: what is published is what is checked.

import { createHash } from 'node:crypto'
import swagger from '@fastify/swagger'
import type { FastifySchema } from 'fastify'
import { Type } from 'typebox'
import { type App, BASE } from './app.ts'
import { compressAnswers } from './compression.ts'
import { noneMatchFails } from './conditional.ts'
import { shareHeaders } from './openapi-headers.ts'
import { describeRefusals } from './openapi-refusals.ts'
import { registerDocs } from './routes/docs.ts'
import { eventSchema } from './routes/events.schema.ts'
import { checkSchema, reportSchema } from './routes/health.schema.ts'
import { attemptSchema, imageSchema } from './routes/images.schema.ts'
import { problemSchema } from './routes/problems.schema.ts'
import { productSchema } from './routes/products.schema.ts'

/** What schemas refer to by name. */
const shared = [
  productSchema,
  imageSchema,
  attemptSchema,
  eventSchema,
  problemSchema,
  checkSchema,
  reportSchema,
]

const description = `A product catalogue whose pictures are processed in the background.

**Writes** are stored when they are answered; pictures follow, and each change of a product, theirs included, raises its \`version\`.
To know when they are done, ask again with \`If-None-Match\`, wait with \`Prefer: wait=N\`, or follow the events.

**Failures** are problems (RFC 9457): \`code\` is stable, and \`GET /problems/{code}\` says what to do. Any request may also be answered
400 when it is not valid HTTP, 404 for an address that names nothing, 405 with \`Allow\`, 408, 413, 414 or 431 when it is too slow or too large, 417 for an \`Expect\` that is not \`100-continue\`, and 500 with the code \`internal\`.

**Addresses** work with and without the base, and with or without a slash at their end. Each path answers OPTIONS, and HEAD where it
answers GET. Lists and documents are compressed for who accepts \`br\` or \`gzip\`.`

const ifNoneMatch = Type.Object({
  'If-None-Match': Type.Optional(
    Type.String({
      description: 'The `ETag` of what the client has: 304 if it would get the same.',
    }),
  ),
})

/** Who answers 304 looks at the condition; declared at the route, it would be validated on every read. */
function withCondition(schema: FastifySchema): FastifySchema {
  const { response, headers } = schema as {
    response?: Record<string, unknown>
    headers?: typeof ifNoneMatch
  }
  if (response?.['304'] === undefined) return schema
  const properties = { ...headers?.properties, ...ifNoneMatch.properties }
  return { ...schema, headers: Type.Object(properties) }
}

/** To be called before any route is declared. */
export function registerOpenapi(app: App): void {
  for (const schema of shared) app.addSchema(schema)
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Vitrine',
        version: '1',
        description,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [
        { url: app.publicPath + BASE },
        { url: app.publicPath || '/', description: 'The same without the base.' },
      ],
      tags: [
        { name: 'products', description: 'The catalogue.' },
        { name: 'images', description: 'The pictures of a product and how their processing went.' },
        { name: 'events', description: 'What happens, as it happens.' },
        { name: 'service', description: 'What operators and tools ask.' },
      ],
    },
    transform: ({ schema, url }) => ({
      schema: withCondition(schema),
      // A wildcard has no name of its own in the router.
      url: url.replace('*', ':key'),
    }),
    transformObject: (made) =>
      'openapiObject' in made
        ? describeRefusals(shareHeaders(made.openapiObject))
        : made.swaggerObject,
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, index) =>
        $id?.toString() ?? `schema-${index}`,
    },
  })
  app.register(async (scope: App) => {
    await compressAnswers(scope)
    registerDocument(scope)
  })
  app.register(registerDocs)
}

function registerDocument(scope: App): void {
  let made: { document: Buffer; etag: string } | undefined
  scope.get('/openapi.json', { schema: { hide: true } }, (request, reply) => {
    made ??= makeDocument(scope)
    const { document, etag } = made
    reply.headers({ etag, 'cache-control': 'no-cache' })
    if (noneMatchFails(request.headers['if-none-match'], etag)) return reply.code(304).send()
    return reply.header('content-type', 'application/json; charset=utf-8').send(document)
  })
}

function makeDocument(scope: App): { document: Buffer; etag: string } {
  const document = Buffer.from(JSON.stringify(scope.swagger()))
  const hash = createHash('sha256').update(document).digest('base64url')
  return { document, etag: `"${hash.slice(0, 22)}"` }
}
