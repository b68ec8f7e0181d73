// The lines in the log about an attempt at a picture: what came of it, and why it failed.

import type { AttemptStage } from '../images/image.ts'
import type { ImageJobPayload } from '../images/image-job.ts'
import type { AttemptReport } from '../images/image-moves.ts'
import type { ClaimedJob, CommittedMove, FailureRule, JobFailure } from '../jobs/job.ts'
import type { Logger } from '../observability/logger.ts'
import { traceIdOf } from '../observability/trace.ts'
import type { toImageError } from './attempt-failure.ts'
import { causesOf, withoutSecrets } from './causes.ts'

type Job = ClaimedJob<ImageJobPayload>
type EndingMove = Exclude<CommittedMove, 'claimed'>

const sentences = {
  done: 'picture ready',
  dropped: 'picture no longer wanted',
  retry_scheduled: 'picture will be tried again',
  dead: 'picture failed',
  handed_back: 'picture handed back',
} as const satisfies Record<EndingMove, string>

export interface Moved {
  move: EndingMove
  /** Absent when this process began no work: the picture was gone, or another's attempt was taken back. */
  report: AttemptReport | undefined
  failure: JobFailure | undefined
}

export function logMove(log: Logger, job: Job, { move, report, failure }: Moved): void {
  const line = { ...fieldsOf(job), ...lineOf(report, failure) }
  log[failure ? 'warn' : 'info'](line, sentences[move])
}

export interface Failed {
  error: ReturnType<typeof toImageError>
  stage: AttemptStage
  rule: FailureRule
}

/**
 * What the picture's owner is not shown: for operators when it is our own disk, database or children, with
 * its stack when nobody expected it, and for those who look closely when it is somebody else's fault.
 */
export function logCauses(log: Logger, job: Job, { error, stage, rule }: Failed): void {
  const causes = causesOf(error)
  const [cause] = causes
  if (cause === undefined) return
  const line = { ...fieldsOf(job), stage, code: error.code, causes }
  if (error.code !== 'worker_lost') {
    log[rule.counts ? 'debug' : 'warn'](line, `why a picture failed: ${cause}`)
    return
  }
  const stack = error.cause instanceof Error ? error.cause.stack : undefined
  log.error({ ...line, stack: withoutSecrets(stack ?? '') }, 'an attempt ended unexpectedly')
}

/** Leads from any of the image, the product, the request and the trace to every line of a picture. */
function fieldsOf({ payload, attempts, trace }: Job): Record<string, unknown> {
  return {
    image_id: payload.imageId,
    product_id: payload.productId,
    request_id: payload.requestId,
    trace_id: traceIdOf(trace ?? ''),
    attempt: attempts,
  }
}

function lineOf(
  report: AttemptReport | undefined,
  failure: JobFailure | undefined,
): Record<string, unknown> {
  const { httpStatus, ...failed } = failure ?? {}
  const http_status = httpStatus ?? report?.httpStatus ?? undefined
  const { stage, bytes, timings } = report ?? {}
  return { stage, bytes, timings, http_status, ...failed }
}
