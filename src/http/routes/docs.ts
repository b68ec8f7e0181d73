// `/docs`: the OpenAPI document as an interactive reference. Its files come from us and it asks nobody
// else for anything: it works where there is no Internet, and no script of a stranger runs in it.

import swaggerUi from '@fastify/swagger-ui'
import type { App } from '../app.ts'
import { compressAnswers } from '../compression.ts'

/** Swagger UI draws with styles of its elements, and with pictures that are written out in its style sheet. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** To be called in a scope of its own. */
export async function registerDocs(scope: App): Promise<void> {
  await compressAnswers(scope)
  const { publicPath } = scope
  // Its one redirect, too, is to a path of this service.
  scope.addHook('onSend', async (_request, reply) => {
    const location = reply.getHeader('location')
    if (location !== undefined) reply.header('location', `${publicPath}${location}`)
  })
  await scope.register(swaggerUi, {
    routePrefix: '/docs',
    indexPrefix: publicPath,
    staticCSP: contentSecurityPolicy,
    theme: { title: 'Vitrine' },
    uiConfig: {
      layout: 'BaseLayout',
      docExpansion: 'list',
      displayRequestDuration: true,
      defaultModelsExpandDepth: 0,
    },
  })
}
