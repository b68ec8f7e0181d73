// What the handler says about a failure, made safe: whatever it throws itself, the attempt must end.

import { AppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import type { Verdict } from './fail.ts'
import type { ClaimedJob, JobFailure, JobHandler } from './job.ts'

/** Never throws: a handler that cannot judge a failure has it retried, and counted. */
export function judge(
  error: unknown,
  { handler, job, log }: { handler: JobHandler; job: ClaimedJob; log: Logger },
): Verdict {
  try {
    return handler.classify(job, error)
  } catch (defect) {
    log.error({ err: defect }, 'a handler could not classify a failure')
    const failure = {
      code: 'worker_lost',
      detail: 'The attempt ended unexpectedly; the log has the reason.',
      retryable: true,
    }
    return { failure, rule: { retryable: true, counts: true } }
  }
}

/** A lease ran out: its worker was killed, or cut off from the database. */
export function workerLost(worker: string): AppError {
  return new AppError('worker_lost', `The worker ${worker} did not finish the attempt.`)
}

export const unreadable: JobFailure = {
  code: 'unreadable_payload',
  detail: 'The job was written by another release, which this one does not understand.',
  retryable: false,
}
