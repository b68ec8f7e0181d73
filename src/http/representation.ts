// One product as an answer: its text with the entity tag.

import type { FastifyReply } from 'fastify'
import type { Representation } from '../products/product.ts'

/** Clients may keep it, and must ask whether it still holds: pictures change it at any moment. */
export function sendRepresentation(
  { body, etag }: Representation,
  reply: FastifyReply,
): FastifyReply {
  reply.header('content-type', 'application/json; charset=utf-8')
  reply.header('cache-control', 'no-cache')
  reply.header('etag', etag)
  return reply.send(body)
}
