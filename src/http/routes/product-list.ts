// Lists of products over HTTP.

import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { FieldError } from '../../errors.ts'
import {
  LONGEST_SEARCH,
  type ProductFilter,
  type ProductLists,
  type ProductPage,
  SHORTEST_NAME_SEARCH,
} from '../../products/product-list.ts'
import { type App, BASE } from '../app.ts'
import { noneMatchFails } from '../conditional.ts'
import { decodeCursor, encodeCursor, type ProductListKey } from '../cursor.ts'
import { invalid } from '../validation.ts'
import { notModified, withHeaders } from './headers.schema.ts'
import { answers } from './problems.schema.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, productPage, productQuery } from './product-list.schema.ts'

type ListQuery = Static<typeof productQuery>

/** Bytes. Clients and proxies take header fields of 16 KiB in all, some only half of that. */
const MAX_LINKS = 8_192

export function registerProductListRoute(app: App, lists: ProductLists): void {
  app.get(
    '/products',
    {
      schema: {
        tags: ['products'],
        operationId: 'listProducts',
        summary: 'Products, the newest first',
        description:
          'Pages follow each other by `next_cursor`, or by `Link`; products that come meanwhile neither repeat nor skip any.',
        querystring: productQuery,
        response: answers(
          {
            200: withHeaders(productPage, 'ETag', 'Link', 'Cache-Control', 'Vary'),
            304: withHeaders(notModified.body, 'ETag', 'Link'),
          },
          'invalid_input',
          'invalid_cursor',
          'cursor_mismatch',
          'unavailable',
        ),
      },
    },
    async (request, reply) => await listProducts(lists, request, reply),
  )
}

async function listProducts(
  lists: ProductLists,
  { query: asked, headers }: FastifyRequest<{ Querystring: ListQuery }>,
  reply: FastifyReply,
) {
  const query = withoutIdleWords(asked)
  const { limit = DEFAULT_LIMIT, cursor } = query
  const list = listOf(query)
  const page = await lists.list({
    ...list,
    limit,
    ...(cursor === undefined ? {} : { after: decodeCursor(cursor, list) }),
    withTotal: query.include === 'total',
  })
  const nextCursor = page.next ? encodeCursor(page.next, list) : null
  const body = bodyOf(page, nextCursor)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  reply.headers({ 'cache-control': 'no-cache', etag, link: linkOf(query, nextCursor, reply) })
  if (noneMatchFails(headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.header('content-type', 'application/json; charset=utf-8').send(body)
}

/** Links repeat the query, and any text is one: only as much of it as the search looks at. */
function withoutIdleWords(query: ListQuery): ListQuery {
  if (query.q === undefined) return query
  const cut = query.q.slice(0, LONGEST_SEARCH)
  // Not half of a surrogate pair.
  return { ...query, q: cut.isWellFormed() ? cut : cut.slice(0, -1) }
}

function listOf(query: ListQuery): ProductListKey {
  const { sort = DEFAULT_SORT } = query
  const broken = [shortName(query), sortWithoutWords(query)].filter((error) => error !== undefined)
  if (broken.length > 0) throw invalid(broken, 'The query')
  return { filter: filterOf(query), sort }
}

/** Without a user to bound it, a search that has no index would read the whole catalogue. */
function shortName({ product_name: name, user_id: userId }: ListQuery): FieldError | undefined {
  if (name === undefined || userId !== undefined || [...name].length >= SHORTEST_NAME_SEARCH) return
  const detail = `must have at least ${SHORTEST_NAME_SEARCH} characters, unless user_id is given`
  return { pointer: '/product_name', code: 'minLength', detail }
}

function sortWithoutWords({ sort, q }: ListQuery): FieldError | undefined {
  if (sort !== 'relevance' || q !== undefined) return
  return { pointer: '/sort', code: 'dependentRequired', detail: 'needs q to be relevance' }
}

function filterOf(query: ListQuery): ProductFilter {
  const given: { [Name in keyof ProductFilter]: ProductFilter[Name] | undefined } = {
    userId: query.user_id,
    minPrice: query.min_price,
    maxPrice: query.max_price,
    nameContains: query.product_name,
    words: query.q,
    status: query.processing_status,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function bodyOf({ data, total }: ProductPage, nextCursor: string | null): Buffer {
  return Buffer.from(
    JSON.stringify({
      data,
      next_cursor: nextCursor,
      total: total?.count,
      total_is_minimum: total?.isMinimum || undefined,
    }),
  )
}

/** RFC 8288: the next page of this query if there is one, and the first one where both are not too long. */
function linkOf(
  { cursor: _, ...query }: ListQuery,
  nextCursor: string | null,
  { server }: FastifyReply,
): string {
  const path = `${server.publicPath}${BASE}/products`
  const parameters = Object.entries(query).map(([name, value]): [string, string] => [
    name,
    String(value),
  ])
  const first = `<${addressOf(path, parameters)}>; rel="first"`
  if (nextCursor === null) return first
  const next = `<${addressOf(path, [...parameters, ['cursor', nextCursor]])}>; rel="next"`
  return next.length + first.length > MAX_LINKS ? next : `${next}, ${first}`
}

function addressOf(path: string, parameters: [string, string][]): string {
  const query = new URLSearchParams(parameters)
  return query.size > 0 ? `${path}?${query}` : path
}
