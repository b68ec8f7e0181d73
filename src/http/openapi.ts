// The OpenAPI 3.1 document, made from the schemas of the routes: what is published is what is checked.

import swagger from '@fastify/swagger'
import { type App, BASE } from './app.ts'
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
    let document: Buffer | undefined
    scope.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
      document ??= Buffer.from(JSON.stringify(app.swagger()))
      return reply
        .headers({ 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-cache' })
        .send(document)
    })
  })
}
