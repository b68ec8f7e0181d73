// The catalogue over HTTP.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { Images } from '../../images/image.ts'
import type { CreateContext, ProductFilter, Products } from '../../products/product.ts'
import { type App, BASE, contextOf } from '../app.ts'
import { noneMatchFails } from '../conditional.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { PictureWait } from '../picture-wait.ts'
import { sendRepresentation } from '../representation.ts'
import { invalid } from '../validation.ts'
import { imageList } from './images.schema.ts'
import { answers } from './problems.schema.ts'
import {
  creationHeaders,
  DEFAULT_LIMIT,
  newProductSchema,
  product,
  productPage,
  productParams,
  productQuery,
} from './products.schema.ts'

type ListQuery = Static<typeof productQuery>

/** A trigram index answers for three characters and more; fewer would walk the whole catalogue. */
const SHORTEST_NAME_SEARCH = 3

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
        summary: 'Create a product',
        description:
          'Answers at once; its pictures are processed in the background. Fields that are not named here are ignored.',
        headers: creationHeaders,
        body: newProductSchema,
        response: answers(
          {
            201: product,
          },
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
      reply.code(201).header('location', `${BASE}/products/${created.id}`)
      if (created.isReplay) reply.header('idempotency-replayed', 'true')
      return sendRepresentation(await waitForPictures(created, reply), reply)
    },
  )

  app.get(
    '/products/:id',
    {
      schema: {
        tags: ['products'],
        summary: 'One product',
        params: productParams,
        response: answers({ 200: product }, 'not_found', 'unavailable'),
      },
    },
    async (request, reply) => {
      const found = await products.read(request.params.id)
      if (found.ageSeconds !== undefined) reply.header('age', String(found.ageSeconds))
      if (!noneMatchFails(request.headers['if-none-match'], found.etag)) {
        return sendRepresentation(found, reply)
      }
      return reply.code(304).headers({ etag: found.etag, 'cache-control': 'no-cache' }).send()
    },
  )

  app.get(
    '/products',
    {
      schema: {
        tags: ['products'],
        summary: 'Products, the newest first',
        querystring: productQuery,
        response: answers({ 200: productPage }, 'invalid_input', 'unavailable'),
      },
    },
    async (request, reply) => await listProducts(products, request, reply),
  )

  app.get(
    '/products/:id/images',
    {
      schema: {
        tags: ['images'],
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

function creationOf(request: FastifyRequest): CreateContext {
  const key = request.headers['idempotency-key']
  const context = contextOf(request)
  if (typeof key !== 'string') return context
  return { ...context, idempotency: { principal: ANONYMOUS, key } }
}

async function listProducts(
  products: Products,
  { query }: FastifyRequest<{ Querystring: ListQuery }>,
  reply: FastifyReply,
) {
  const filter = filterOf(query)
  const { limit = DEFAULT_LIMIT, cursor } = query
  const after = cursor === undefined ? {} : { after: decodeCursor(cursor, filter) }
  const { data, next } = await products.list(filter, { limit, ...after })
  const nextCursor = next ? encodeCursor(next, filter) : null
  reply.headers({ 'cache-control': 'no-cache', link: linkOf(query, nextCursor) })
  return { data, next_cursor: nextCursor }
}

function filterOf(query: ListQuery): ProductFilter {
  const { user_id: userId, min_price: minPrice, max_price: maxPrice, product_name: name } = query
  if (name !== undefined && userId === undefined && [...name].length < SHORTEST_NAME_SEARCH) {
    const detail = `must have at least ${SHORTEST_NAME_SEARCH} characters, unless user_id is given`
    throw invalid([{ pointer: '/product_name', code: 'minLength', detail }], 'The query')
  }
  return {
    ...(userId === undefined ? {} : { userId }),
    ...(minPrice === undefined ? {} : { minPrice }),
    ...(maxPrice === undefined ? {} : { maxPrice }),
    ...(name === undefined ? {} : { nameContains: name }),
  }
}

/** RFC 8288: the first page of this query, and the next one if there is one. */
function linkOf({ cursor: _, ...query }: ListQuery, nextCursor: string | null): string {
  const parameters = Object.entries(query).map(([name, value]): [string, string] => [
    name,
    String(value),
  ])
  const first = new URLSearchParams(parameters)
  const links = [`<${BASE}/products?${first}>; rel="first"`]
  if (nextCursor !== null) {
    const next = new URLSearchParams([...parameters, ['cursor', nextCursor]])
    links.unshift(`<${BASE}/products?${next}>; rel="next"`)
  }
  return links.join(', ')
}
