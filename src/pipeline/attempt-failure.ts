// From whatever ended an attempt to the failure that clients and operators read. A code blames who is
// at fault: the origin, the picture, or us.

import { AppError, type ImageErrorCode } from '../errors.ts'
import type { AttemptStage, ImageError } from '../images/image.ts'
import { failureRule, isImageError } from '../images/image-failures.ts'
import { type JobFailure, JobTimeout } from '../jobs/job.ts'

type ImageAppError = AppError & { code: ImageErrorCode }

/** What `error` means for a picture in this stage. A failure that has a picture's code stays what it is. */
export function toImageError(error: unknown, stage: AttemptStage): ImageAppError {
  if (isImageError(error)) return error
  if (error instanceof JobTimeout) {
    return imageError(
      timeoutCodes[stage],
      `The attempt took too long in its ${stage} stage.`,
      error,
    )
  }
  if (error instanceof AppError && error.code === 'unavailable') {
    return imageError('storage_failed', unavailableIn(stage), error)
  }
  return imageError('worker_lost', 'The attempt ended unexpectedly; the log has the reason.', error)
}

/** What an attempt needs of its surroundings, by stage: pictures are decoded in these two. */
function unavailableIn(stage: AttemptStage): string {
  return stage === 'inspect' || stage === 'render'
    ? 'No process could be started to decode the picture in.'
    : 'The database could not be reached.'
}

const timeoutCodes = {
  claim: 'worker_lost',
  download: 'download_timeout',
  inspect: 'render_timeout',
  render: 'render_timeout',
  store: 'storage_failed',
  settle: 'storage_failed',
} as const satisfies Record<AttemptStage, ImageErrorCode>

function imageError(code: ImageErrorCode, message: string, cause: unknown): ImageAppError {
  return new AppError(code, message, { cause }) as ImageAppError
}

/** As the ledger keeps it. */
export function toJobFailure(error: ImageAppError, stage: AttemptStage): JobFailure {
  return {
    code: error.code,
    detail: error.message,
    retryable: failureRule(error).retryable,
    stage,
    ...(error.httpStatus === undefined ? {} : { httpStatus: error.httpStatus }),
  }
}

/** As the picture shows it. The ledger knows codes and stages as text only; they came from `toJobFailure`. */
export function toShownError({
  code,
  detail,
  retryable,
  stage,
  httpStatus,
}: JobFailure): ImageError {
  return {
    code: code as ImageErrorCode,
    detail,
    retryable,
    stage: (stage ?? 'claim') as AttemptStage,
    ...(httpStatus === undefined ? {} : { http_status: httpStatus }),
  }
}
