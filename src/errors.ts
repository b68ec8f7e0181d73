// The one error family of Vitrine. Whoever throws names a code; only http/problem.ts knows what
// status a code has, and only images/image-failures.ts knows whether a picture's code is retried.

/** Codes a request can be answered with (`code` of an `application/problem+json`). */
export const problemCodes = [
  'malformed_json',
  'invalid_input',
  'cursor_mismatch',
  'invalid_cursor',
  'not_found',
  'method_not_allowed',
  'conflict',
  'stale_version',
  'idempotency_key_reused',
  'too_large',
  'unsupported_media_type',
  'unavailable',
  'internal',
] as const
export type ProblemCode = (typeof problemCodes)[number]

/** Codes a picture can fail with (`images[].error.code`). */
export const imageErrorCodes = [
  'url_not_allowed',
  'dns_failed',
  'connect_failed',
  'tls_failed',
  'origin_not_found',
  'origin_forbidden',
  'origin_refused',
  'origin_rate_limited',
  'origin_error',
  'too_many_redirects',
  'download_timeout',
  'download_truncated',
  'file_too_large',
  'not_an_image',
  'unsupported_format',
  'image_corrupt',
  'too_many_pixels',
  'too_many_frames',
  'render_timeout',
  'render_crashed',
  'render_out_of_memory',
  'storage_failed',
  'worker_lost',
] as const
export type ImageErrorCode = (typeof imageErrorCodes)[number]

export type ErrorCode = ProblemCode | ImageErrorCode

/** One broken rule of a request: a JSON pointer to the field, the rule's name, a sentence. */
export interface FieldError {
  pointer: string
  code: string
  detail: string
}

export interface AppErrorOptions {
  /** The fields at fault, for `invalid_input`. */
  errors?: readonly FieldError[]
  /** The least time to wait before another try makes sense, when somebody told us. */
  retryAfterMs?: number
  /** What the origin of a picture answered. */
  httpStatus?: number
  cause?: unknown
}

/** A failure the caller may act on. Anything else that is thrown is a defect and answers 500. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly errors: readonly FieldError[]
  readonly retryAfterMs: number | undefined
  readonly httpStatus: number | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.errors = options.errors ?? []
    this.retryAfterMs = options.retryAfterMs
    this.httpStatus = options.httpStatus
  }
}

/** True for an AppError with one of these codes (any code, when none is named). */
export function isAppError(error: unknown, ...codes: ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code))
}
