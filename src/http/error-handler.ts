// The one error handler: whatever is thrown on the way to an answer becomes a problem here, and what
// was our own fault becomes a line in the log as well.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError, isAppError, type ProblemCode } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { sendProblem } from './problem.ts'

/** What the framework and the socket throw on account of the client, by their codes. The rest is a defect. */
const refusals: Readonly<Record<string, [code: ProblemCode, detail: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['too_large', 'The body is too large.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'The Content-Type is not valid.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'invalid_input',
    'The body is not as long as its Content-Length says.',
  ],
  // A path that cannot be decoded names nothing.
  FST_ERR_BAD_URL: ['not_found', 'There is nothing at this address.'],
  // The client left, or broke off, while it was sending its body.
  ECONNRESET: ['invalid_input', 'The body ended before it was complete.'],
}

/** `(error, request, reply)`, as Fastify calls it. */
export function createErrorHandler(log: Logger) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const error = refused(thrown) ?? thrown
    keepConnection(reply)
    const { status, code } = sendProblem(reply, error)
    if (status < 500) return
    if (code === 'internal') log.error({ request_id: request.id, err: thrown }, 'request failed')
    else log.warn({ request_id: request.id, code, reason: reasonOf(error) }, 'request not possible')
  }
}

/**
 * Fastify closes the connection after an error in the body. The client may still be sending, and would
 * lose the answer to a reset; what it sends is read and dropped instead, within the request's time limit.
 */
function keepConnection(reply: FastifyReply): void {
  if (!reply.hasHeader('connection') || reply.server.isStopping()) return
  reply.header('connection', reply.raw.shouldKeepAlive ? 'keep-alive' : 'close')
}

function refused(thrown: unknown): AppError | undefined {
  const { code } = (thrown ?? {}) as { code?: unknown }
  if (isAppError(thrown, 'storage_failed')) {
    return new AppError('unavailable', 'The file cannot be read at the moment.', { cause: thrown })
  }
  if (thrown instanceof AppError || typeof code !== 'string') return undefined
  const [problem, detail] = Object.hasOwn(refusals, code) ? (refusals[code] ?? []) : []
  return problem && new AppError(problem, detail ?? '', { cause: thrown })
}

/** The outermost words are for clients; the cause says which address refused. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message} ${cause.message}` : message
}
