// `Vary` (RFC 9110 §12.5.5): which fields of a request its answer depends on.

import type { FastifyReply } from 'fastify'

/** Adds a field name to what is there already. */
export function vary(reply: FastifyReply, field: string): void {
  const given = reply.getHeader('vary')
  const names = String(given ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (names.some((name) => name.toLowerCase() === field.toLowerCase())) return
  reply.header('vary', [...names, field].join(', '))
}
