// The catalogue over HTTP.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Images } from '../../images/image.ts'
import type { CreateContext, Products, Representation } from '../../products/product.ts'
import { type App, BASE, contextOf } from '../app.ts'
import { noneMatchFails } from '../conditional.ts'
import type { PictureWait } from '../picture-wait.ts'
import { sendRepresentation } from '../representation.ts'
import { notModified, withHeaders } from './headers.schema.ts'
import { imageList } from './images.schema.ts'
import { answers } from './problems.schema.ts'
import { creationHeaders, newProductSchema, product, productParams } from './products.schema.ts'

/** Whose idempotency keys those of callers without a name are. */
const ANONYMOUS = 'anonymous'

export interface ProductRoutesOptions {
  products: Products
  images: Images
  waitForPictures: PictureWait
}

export function registerProductRoutes(app: App, options: ProductRoutesOptions): void {
  const { products, images, waitForPictures } = options
  app.post(
    '/products',
    {
      schema: {
        tags: ['products'],
        operationId: 'createProduct',
        summary: 'Create a product',
        description:
          'Answers at once; its pictures are processed in the background. Fields that are not named here are ignored.',
        headers: creationHeaders,
        body: newProductSchema,
        response: answers(
          {
            201: withHeaders(
              product,
              'Location',
              'ETag',
              'Idempotency-Replayed',
              'Preference-Applied',
            ),
          },
          'malformed_json',
          'invalid_input',
          'conflict',
          'too_large',
          'unsupported_media_type',
          'idempotency_key_reused',
          'unavailable',
        ),
      },
    },
    async (request, reply) => {
      const created = await products.create(request.body, creationOf(request))
      reply.code(201).header('location', `${app.publicPath}${BASE}/products/${created.id}`)
      if (created.isReplay) reply.header('idempotency-replayed', 'true')
      return sendRepresentation(await waitForPictures(created, reply), reply)
    },
  )

  app.get(
    '/products/:id',
    {
      schema: {
        tags: ['products'],
        operationId: 'getProduct',
        summary: 'One product',
        params: productParams,
        response: answers(
          { 200: withHeaders(product, 'ETag', 'Cache-Control', 'Age'), 304: notModified },
          'not_found',
          'unavailable',
        ),
      },
    },
    // Not async: a cached read is answered in the tick in which it came.
    (request, reply) => {
      const { id } = request.params
      const known = products.recall(id)
      if (known) return void answerIfNew(known, request, reply)
      return products.read(id).then((found) => answerIfNew(found, request, reply))
    },
  )

  app.get(
    '/products/:id/images',
    {
      schema: {
        tags: ['images'],
        operationId: 'listProductImages',
        summary: 'The pictures of a product, in order',
        params: productParams,
        response: answers({ 200: imageList }, 'not_found', 'unavailable'),
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-cache')
      return { data: await images.ofProduct(request.params.id) }
    },
  )
}

function answerIfNew(found: Representation, request: FastifyRequest, reply: FastifyReply): void {
  if (found.ageSeconds !== undefined) reply.header('age', String(found.ageSeconds))
  if (noneMatchFails(request.headers['if-none-match'], found.etag)) {
    reply.code(304).headers({ etag: found.etag, 'cache-control': 'no-cache' }).send()
  } else sendRepresentation(found, reply)
}

function creationOf(request: FastifyRequest): CreateContext {
  const key = request.headers['idempotency-key']
  const context = contextOf(request)
  if (typeof key !== 'string') return context
  return { ...context, idempotency: { principal: ANONYMOUS, key } }
}
