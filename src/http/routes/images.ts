// The pictures of a product: what became of each, and another try.

import { type Images, MAX_SHOWN_ATTEMPTS } from '../../images/image.ts'
import { type App, contextOf } from '../app.ts'
import { attemptList, image, imageList, imageParams } from './images.schema.ts'
import { answers } from './problems.schema.ts'
import { productParams } from './products.schema.ts'

export function registerImageRoutes(app: App, images: Images): void {
  app.get(
    '/images/:id',
    {
      schema: {
        tags: ['images'],
        operationId: 'getImage',
        summary: 'One picture',
        params: imageParams,
        response: answers({ 200: image }, 'not_found', 'unavailable'),
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-cache')
      return await images.read(request.params.id)
    },
  )

  app.get(
    '/images/:id/attempts',
    {
      schema: {
        tags: ['images'],
        operationId: 'listImageAttempts',
        summary: `The attempts at processing it, the newest ${MAX_SHOWN_ATTEMPTS}, in their order`,
        params: imageParams,
        response: answers({ 200: attemptList }, 'not_found', 'unavailable'),
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-cache')
      return { data: await images.attempts(request.params.id) }
    },
  )

  app.post(
    '/images/:id/retry',
    {
      schema: {
        tags: ['images'],
        operationId: 'retryImage',
        summary: 'Process it again',
        description:
          'A failed picture is tried again with fresh attempts, and one that waits for its next attempt at once, with those it has left. A ready one is fetched again, and keeps its old result until the new one is there.',
        params: imageParams,
        response: answers({ 202: image }, 'not_found', 'conflict', 'unavailable'),
      },
    },
    async (request, reply) => {
      const retried = await images.retry(request.params.id, contextOf(request))
      return reply.code(202).send(retried)
    },
  )

  app.post(
    '/products/:id/images/retry',
    {
      schema: {
        tags: ['images'],
        operationId: 'retryProductImages',
        summary: 'Process its pictures again, with fresh attempts',
        description:
          'Its pictures that failed, or wait for their next attempt, are tried again. When there are none, its ready ones are fetched again, and keep their old results until the new ones are there. Pictures under way are left alone; when it has no others, nothing happens and the answer is `conflict`.',
        params: productParams,
        response: answers({ 202: imageList }, 'not_found', 'conflict', 'unavailable'),
      },
    },
    async (request, reply) => {
      const data = await images.retryOfProduct(request.params.id, contextOf(request))
      return reply.code(202).send({ data })
    },
  )
}
