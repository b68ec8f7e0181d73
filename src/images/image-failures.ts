// What a picture's failure means: whether another attempt may help, and whose fault it was.

import { AppError, type ImageErrorCode, imageErrorCodes } from '../errors.ts'
import type { FailureRule } from '../jobs/job.ts'
import { isUnknownHost } from '../outbound/failures.ts'

/** Another try cannot change the answer. */
const final: FailureRule = { retryable: false, counts: true }
const retried: FailureRule = { retryable: true, counts: true }
/** Our own fault: the picture does not pay for it with an attempt. */
const ours: FailureRule = { retryable: true, counts: false }
/** The last of so many of one code is final. */
const retriedUpTo = (maxFailures: number): FailureRule => ({ ...retried, maxFailures })

const rules = {
  url_not_allowed: final,
  dns_failed: retried,
  connect_failed: retried,
  tls_failed: final,
  origin_not_found: final,
  origin_forbidden: final,
  origin_refused: final,
  origin_rate_limited: retried,
  origin_error: retried,
  too_many_redirects: final,
  download_timeout: retried,
  download_truncated: retried,
  file_too_large: final,
  not_an_image: final,
  unsupported_format: final,
  image_corrupt: final,
  too_many_pixels: final,
  too_many_frames: final,
  render_timeout: retried,
  render_crashed: retriedUpTo(3),
  render_out_of_memory: retriedUpTo(2),
  storage_failed: ours,
  worker_lost: retried,
} as const satisfies Record<ImageErrorCode, FailureRule>

/** A name that does not exist is rarely there a minute later; one that cannot be looked up may be. */
const unknownHost = retriedUpTo(3)

/** The rule for an AppError with an image code; a Retry-After that came with it is passed on. */
export function failureRule(error: AppError & { code: ImageErrorCode }): FailureRule {
  const rule: FailureRule = isUnknownHost(error) ? unknownHost : rules[error.code]
  return error.retryAfterMs === undefined ? rule : { ...rule, retryAfterMs: error.retryAfterMs }
}

export function isImageError(error: unknown): error is AppError & { code: ImageErrorCode } {
  return error instanceof AppError && (imageErrorCodes as readonly string[]).includes(error.code)
}
