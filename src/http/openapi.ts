// The OpenAPI 3.1 document, made from the schemas of the routes: what is published is what is checked.

import { createHash } from 'node:crypto'
import swagger from '@fastify/swagger'
import { type App, BASE } from './app.ts'
import { compressAnswers } from './compression.ts'
import { noneMatchFails } from './conditional.ts'
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

/** To be called before any route is declared. */
export function registerOpenapi(app: App): void {
  for (const schema of shared) app.addSchema(schema)
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Vitrine',
        version: '1',
        description: 'A product catalogue whose pictures are processed in the background.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: BASE }, { url: '/', description: 'The same without the base.' }],
      tags: [
        { name: 'products', description: 'The catalogue.' },
        { name: 'images', description: 'The pictures of a product and how their processing went.' },
        { name: 'events', description: 'What happens, as it happens.' },
        { name: 'service', description: 'What operators and tools ask.' },
      ],
    },
    // A wildcard has no name of its own in the router.
    transform: ({ schema, url }) => ({ schema, url: url.replace('*', ':key') }),
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
