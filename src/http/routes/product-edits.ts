// Changes of products over HTTP: replace, patch, remove.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { EditOptions, Products, Representation } from '../../products/product.ts'
import { type App, BASE, contextOf } from '../app.ts'
import { expectedEdit } from '../if-match.ts'
import { patchTypes } from '../json-body.ts'
import type { PictureWait } from '../picture-wait.ts'
import { sendRepresentation } from '../representation.ts'
import { withHeaders } from './headers.schema.ts'
import { answers } from './problems.schema.ts'
import {
  conditionHeaders,
  editHeaders,
  patchSchema,
  replacementSchema,
  replacementWithIdSchema,
} from './product-edits.schema.ts'
import { product, productParams } from './products.schema.ts'

const changed = answers(
  { 200: withHeaders(product, 'ETag', 'Content-Location', 'Preference-Applied') },
  'malformed_json',
  'invalid_input',
  'not_found',
  'stale_version',
  'too_large',
  'unsupported_media_type',
  'unavailable',
)

export interface ProductEditRoutesOptions {
  products: Products
  waitForPictures: PictureWait
}

export function registerProductEditRoutes(app: App, options: ProductEditRoutesOptions): void {
  const { products, waitForPictures } = options
  const answer = async (edited: Representation, reply: FastifyReply) => {
    // The answer is the product itself, not a report about it (RFC 9110 §8.7): that makes the tag its own.
    reply.header('content-location', `${app.publicPath}${BASE}/products/${edited.id}`)
    return sendRepresentation(await waitForPictures(edited, reply), reply)
  }

  app.put(
    '/products/:id',
    {
      schema: {
        tags: ['products'],
        operationId: 'replaceProduct',
        summary: 'Replace a product',
        description:
          'A URL that stays in the list keeps its picture and results, a new one is queued, a dropped one goes. Fields that are not named here are ignored. What changes nothing is answered with the product as it is, and counts as no change.',
        headers: editHeaders,
        params: productParams,
        body: replacementSchema,
        response: changed,
      },
    },
    async (request, reply) => {
      const { params, body } = request
      return await answer(await products.replace(params.id, body, editOf(request)), reply)
    },
  )

  app.put(
    '/products',
    {
      schema: {
        tags: ['products'],
        operationId: 'replaceProductNamedInBody',
        summary: 'Replace the product with the id in the body',
        headers: editHeaders,
        body: replacementWithIdSchema,
        response: changed,
      },
    },
    async (request, reply) => {
      const { id, ...fields } = request.body
      return await answer(await products.replace(id, fields, editOf(request)), reply)
    },
  )

  app.patch(
    '/products/:id',
    {
      schema: {
        tags: ['products'],
        operationId: 'patchProduct',
        summary: 'Change some fields of a product',
        description:
          'A JSON merge patch (RFC 7396): what is not named stays. The name and the price cannot be taken away with `null`. What changes nothing is answered with the product as it is, and counts as no change.',
        consumes: [...patchTypes],
        headers: editHeaders,
        params: productParams,
        body: patchSchema,
        response: changed,
      },
      // For the answers that refuse the type of the body (RFC 5789 §3.1).
      onRequest: (_request, reply, done) => {
        reply.header('accept-patch', patchTypes.join(', '))
        done()
      },
    },
    async (request, reply) => {
      const { params, body } = request
      return await answer(await products.patch(params.id, body, editOf(request)), reply)
    },
  )

  app.delete(
    '/products/:id',
    {
      schema: {
        tags: ['products'],
        operationId: 'deleteProduct',
        summary: 'Delete a product and its pictures',
        headers: conditionHeaders,
        params: productParams,
        response: answers(
          { 204: Type.Null({ description: 'It is gone; its files follow.' }) },
          'not_found',
          'stale_version',
          'unavailable',
        ),
      },
    },
    async (request, reply) => {
      await products.remove(request.params.id, editOf(request))
      return reply.code(204).send()
    },
  )
}

function editOf(request: FastifyRequest): EditOptions {
  const expected = expectedEdit(request.headers['if-match'])
  const context = contextOf(request)
  return expected === undefined ? { context } : { expected, context }
}
