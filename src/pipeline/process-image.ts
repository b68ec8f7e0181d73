// The job `image.process`: its stages, and the moves that each of its ends makes. A picture whose
// product changed or went away meanwhile is dropped, never published.

import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { failureRule } from '../images/image-failures.ts'
import type { ImageJobPayload } from '../images/image-job.ts'
import {
  type AttemptReport,
  dropAttempt,
  fail,
  failUnread,
  handBack,
  requeue,
  scheduleRetry,
  settleReady,
  startAttempt,
} from '../images/image-moves.ts'
import { lockProduct } from '../images/product-change.ts'
import type {
  ClaimedJob,
  CommittedMove,
  FailureRule,
  JobContext,
  JobFailure,
  JobHandler,
  Settlement,
} from '../jobs/job.ts'
import type { Logger } from '../observability/logger.ts'
import { traceIdOf } from '../observability/trace.ts'
import { toImageError, toJobFailure, toShownError } from './attempt-failure.ts'
import { causesOf, withoutSecrets } from './causes.ts'
import type { HostGate } from './host-gate.ts'
import { settleObjects } from './objects.ts'
import type { Preset } from './presets.ts'
import type { Progress, Stages, StagesResult } from './stages.ts'

export interface ProcessImageOptions {
  stages: Stages
  hosts: HostGate
  presets: readonly Preset[]
  /** Where downloads lie while they are worked on. */
  spoolDirectory: string
  /** URL references of stored files are this and their key. */
  urlPrefix: string
  /** Called after a change of a picture was committed. */
  onChanged(): void
  log: Logger
}

type Job = ClaimedJob<ImageJobPayload>

export function createProcessImage(options: ProcessImageOptions): JobHandler<ImageJobPayload> {
  const { stages, hosts, presets, spoolDirectory, urlPrefix, onChanged, log } = options
  /** What a running attempt has reached. The reaper, which acts for a lost worker, finds none. */
  const progressOf = new WeakMap<Job, Progress>()
  const reportOf = (job: Job) => progressOf.get(job)?.report()

  const work = async (job: Job, progress: Progress, context: JobContext): Promise<StagesResult> => {
    const path = join(spoolDirectory, job.claim)
    try {
      return await stages.run({ url: job.payload.sourceUrl, path, progress, ...context })
    } finally {
      // Not there after a failed download. What cannot be removed now goes at a later start.
      await unlink(path).catch(() => {})
    }
  }

  const settle = (job: Job, progress: Progress, result: StagesResult): Settlement => {
    return async (tx) => {
      const report = progress.report()
      const isWanted =
        (await lockProduct(tx, job.payload.productId)) &&
        (await settleReady(tx, {
          ...attemptOf(job),
          ...result.image,
          renditions: await settleObjects(tx, result.objects, presets),
          report,
          urlPrefix,
        }))
      if (!isWanted) await dropAttempt(tx, job.claim, report)
      return isWanted ? 'done' : 'dropped'
    }
  }

  return {
    admit: ({ sourceUrl }) => hosts.enter(sourceUrl),

    onClaimed: async (tx, job) => {
      const { maxAttempts, worker, trace } = job
      const attempt = {
        ...attemptOf(job),
        maxAttempts,
        worker,
        traceId: traceIdOf(trace ?? '') ?? null,
      }
      return (await lockProduct(tx, job.payload.productId)) && (await startAttempt(tx, attempt))
    },

    run: async (job, context) => {
      const progress = stages.begin()
      progressOf.set(job, progress)
      const result = await work(job, progress, context)
      progress.enter('settle')
      return settle(job, progress, result)
    },

    classify: (job, error) => {
      const stage = reportOf(job)?.stage ?? 'claim'
      const known = toImageError(error, stage)
      const rule = failureRule(known)
      logCauses(log, known, { ...fieldsOf(job), stage }, rule)
      return { failure: toJobFailure(known, stage), rule }
    },

    onRetryScheduled: async (tx, job, failure, dueAt) => {
      if (!(await lockProduct(tx, job.payload.productId))) return
      const error = toShownError(failure)
      await scheduleRetry(tx, { ...attemptOf(job), error, report: reportOf(job) }, dueAt)
    },

    onDead: async (tx, job, failure) => {
      if (!(await lockProduct(tx, job.payload.productId))) return
      await fail(tx, { ...attemptOf(job), error: toShownError(failure), report: reportOf(job) })
    },

    onUnreadable: async (tx, job, failure) => {
      const error = { ...toShownError(failure), code: 'worker_lost' } as const
      await failUnread(tx, { imageId: job.key, claim: job.claim, error })
    },

    onRedriven: async (tx, { payload: { imageId, productId } }) => {
      if (!(await lockProduct(tx, productId))) return
      await requeue(tx, { imageIds: [imageId], productId, fresh: true })
    },

    onHandedBack: async (tx, job) => {
      if (!(await lockProduct(tx, job.payload.productId))) return
      await handBack(tx, { ...attemptOf(job), report: reportOf(job) })
    },

    onCommitted: (job, move, failure) => {
      onChanged()
      if (move === 'claimed') return
      const line = { ...fieldsOf(job), ...lineOf(reportOf(job), failure) }
      log[failure ? 'warn' : 'info'](line, sentences[move])
    },
  }
}

const sentences = {
  done: 'picture ready',
  dropped: 'picture no longer wanted',
  retry_scheduled: 'picture will be tried again',
  dead: 'picture failed',
  handed_back: 'picture handed back',
} as const satisfies Record<Exclude<CommittedMove, 'claimed'>, string>

function attemptOf({ payload, claim, attempts }: Job) {
  return { imageId: payload.imageId, productId: payload.productId, claim, attempts }
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

/**
 * What the picture's owner is not shown: for operators when it is our own disk, database or children, with
 * its stack when nobody expected it, and for those who look closely when it is somebody else's fault.
 */
function logCauses(
  log: Logger,
  error: ReturnType<typeof toImageError>,
  fields: Record<string, unknown>,
  { counts }: FailureRule,
): void {
  const causes = causesOf(error)
  const [cause] = causes
  if (cause === undefined) return
  const line = { ...fields, code: error.code, causes }
  if (error.code !== 'worker_lost') {
    log[counts ? 'debug' : 'warn'](line, `why a picture failed: ${cause}`)
    return
  }
  const stack = error.cause instanceof Error ? error.cause.stack : undefined
  log.error({ ...line, stack: withoutSecrets(stack ?? '') }, 'an attempt ended unexpectedly')
}
