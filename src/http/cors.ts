// Cross-origin requests of browsers (the fetch standard, §3.2): which pages may read what we answer.
// Credentials that a browser adds by itself are never asked for: clients of this API send their own.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MethodTable } from './methods.ts'
import { pathOf } from './request-log.ts'
import { vary } from './vary.ts'

/** What scripts may read of an answer, beside what they always may. */
const exposed = [
  'ETag',
  'Location',
  'Content-Location',
  'Link',
  'Age',
  'Allow',
  'Accept-Patch',
  'Retry-After',
  'X-Request-Id',
  'Idempotency-Replayed',
  'Preference-Applied',
  'Content-Range',
  'Accept-Ranges',
].join(', ')

/** What scripts may send, beside what they always may. */
const accepted = [
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'Idempotency-Key',
  'Prefer',
  'Last-Event-ID',
  'X-Request-Id',
  'traceparent',
].join(', ')

/** Two hours: no browser keeps the answer to a preflight for longer. */
const MAX_AGE = '7200'

/** Says in an answer which page may read it. */
export type AllowOrigin = (request: FastifyRequest, reply: FastifyReply) => void

/** `origins` as browsers write them, or `*` among them for every page. Undefined without any: nothing is said. */
export function createAllowOrigin(
  origins: readonly string[],
  table: MethodTable,
): AllowOrigin | undefined {
  if (origins.length === 0) return undefined
  const isForAll = origins.includes('*')
  const known = new Set(origins)
  return (request, reply) => {
    const { origin } = request.headers
    // Also for who sends no origin: a cache must not give that answer to a page.
    if (!isForAll) vary(reply, 'Origin')
    if (origin !== undefined && (isForAll || known.has(origin))) {
      reply.header('access-control-allow-origin', isForAll ? '*' : origin)
      if (isPreflight(request)) allowRequest(request, reply, table)
      else reply.header('access-control-expose-headers', exposed)
    }
  }
}

function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
}

/** The methods are those that `Allow` names; a path without any is answered 404, which ends it. */
function allowRequest({ url }: FastifyRequest, reply: FastifyReply, table: MethodTable): void {
  const methods = table.allowed(pathOf(url))
  if (!methods) return
  reply.headers({
    'access-control-allow-methods': methods.join(', '),
    'access-control-allow-headers': accepted,
    'access-control-max-age': MAX_AGE,
  })
}
