// One line per request: what was asked, how it ended, how long it took. Never a query string, a header
// or a body: any of them may hold credentials.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../observability/logger.ts'
import { traceIdOf } from '../observability/trace.ts'

const MAX_PATH = 200

export function logRequest(log: Logger, request: FastifyRequest, reply: FastifyReply): void {
  const { routeOptions, traceparent } = request
  const level = routeOptions.config.quiet === true ? 'debug' : 'info'
  if (!log.isLevelEnabled(level)) return
  const { url } = routeOptions
  const line: Record<string, unknown> = {
    method: request.method,
    // The pattern, so that lines can be counted by it.
    route: url ?? null,
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    request_id: request.id,
    bytes: bytesOf(request, reply),
  }
  if (url === undefined) line.path = pathOf(request.url).slice(0, MAX_PATH)
  if (traceparent) line.trace_id = traceIdOf(traceparent)
  // The client left before it had its answer.
  if (!reply.raw.writableFinished) line.aborted = true
  log[level](line, 'request')
}

export function pathOf(url: string): string {
  return /^[^?#]*/.exec(url)?.[0] ?? ''
}

function bytesOf({ method, streamedBytes }: FastifyRequest, reply: FastifyReply): number {
  return method === 'HEAD' ? 0 : (streamedBytes ?? Number(reply.getHeader('content-length') ?? 0))
}
