// Failures as clients see them: RFC 9457 `application/problem+json`. The only place that knows what
// status a code has. A defect of ours shows its request id and nothing else.

import type { FastifyReply } from 'fastify'
import { AppError, type FieldError, type ProblemCode, problemCodes } from '../errors.ts'

export const statuses = {
  malformed_json: 400,
  invalid_input: 400,
  cursor_mismatch: 400,
  invalid_cursor: 400,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  stale_version: 412,
  too_large: 413,
  unsupported_media_type: 415,
  idempotency_key_reused: 422,
  internal: 500,
  unavailable: 503,
} as const satisfies Record<ProblemCode, number>

/** What HTTP has a status for that says more than the code's own. */
const narrowerStatuses = {
  // The request did not arrive in time; no such part of the file; an expectation that is not met.
  invalid_input: [408, 416, 417],
  // The address; the header fields.
  too_large: [414, 431],
} as const satisfies Partial<Record<ProblemCode, readonly number[]>>

export type NarrowerStatus = (typeof narrowerStatuses)[keyof typeof narrowerStatuses][number]

/** The statuses that a problem of this code may have instead of `statuses[code]`. */
export function narrowerStatusesOf(code: ProblemCode): readonly NarrowerStatus[] {
  const all: Partial<Record<ProblemCode, readonly NarrowerStatus[]>> = narrowerStatuses
  return all[code] ?? []
}

export const titles = {
  malformed_json: 'The body is not JSON',
  invalid_input: 'The request is not valid',
  cursor_mismatch: 'The cursor belongs to another query',
  invalid_cursor: 'The cursor is not one of ours',
  not_found: 'There is nothing here',
  method_not_allowed: 'The method is not allowed here',
  conflict: 'The resource is in a state that does not allow this',
  stale_version: 'The resource was changed since it was read',
  too_large: 'The request is too large',
  unsupported_media_type: 'The format of the body is not supported',
  idempotency_key_reused: 'The idempotency key was used for another request',
  internal: 'Something went wrong on our side',
  unavailable: 'The service cannot answer at the moment',
} as const satisfies Record<ProblemCode, string>

export interface Problem {
  /** A relative reference, answered by this service: what the code means and what to do. */
  type: string
  title: string
  status: number
  code: ProblemCode
  detail?: string
  request_id: string
  errors?: FieldError[]
}

export const PROBLEM_TYPE = 'application/problem+json'
/** More than a client will repair at once; a body may break its rules 100,000 times. */
const MAX_ERRORS = 20
/** When nobody said how long it will take. */
const RETRY_AFTER_MS = 5_000

export function isProblemCode(code: string): code is ProblemCode {
  return (problemCodes as readonly string[]).includes(code)
}

/** What is thrown by the program rather than by a rule of it is a defect: `internal`. */
export function asProblemError(error: unknown): AppError & { code: ProblemCode } {
  if (error instanceof AppError && isProblemCode(error.code)) {
    return error as AppError & { code: ProblemCode }
  }
  return new AppError('internal', '', { cause: error }) as AppError & { code: ProblemCode }
}

export interface ProblemContext {
  requestId: string
  /** What stands before the paths of this service, for clients. */
  publicPath: string
  /** Instead of the code's own. */
  status?: NarrowerStatus | undefined
}

export function problemOf(
  error: AppError & { code: ProblemCode },
  { requestId, publicPath, status }: ProblemContext,
): Problem {
  const { code, message, errors } = error
  return {
    type: `${publicPath}/problems/${code}`,
    title: titles[code],
    status: status ?? statuses[code],
    code,
    ...(code !== 'internal' && message ? { detail: message } : {}),
    request_id: requestId,
    ...(errors.length > 0 ? { errors: errors.slice(0, MAX_ERRORS) } : {}),
  }
}

/** Answers the request with the problem that `error` is; returns it. */
export function sendProblem(reply: FastifyReply, error: unknown, status?: NarrowerStatus): Problem {
  const cause = asProblemError(error)
  const { publicPath } = reply.server
  const problem = problemOf(cause, { requestId: reply.request.id, publicPath, status })
  reply
    .code(problem.status)
    // A 404 or 405 may be kept by caches unless it says otherwise (RFC 9111 §4.2.2).
    .headers({ 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' })
    .removeHeader('etag')
  if (problem.status === 503) reply.header('retry-after', retryAfter(cause))
  reply.send(Buffer.from(JSON.stringify(problem)))
  return problem
}

/** Whole seconds, at least one. */
function retryAfter({ retryAfterMs = RETRY_AFTER_MS }: AppError): string {
  return String(Math.max(1, Math.ceil(retryAfterMs / 1000)))
}
