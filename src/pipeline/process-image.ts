// The job `image.process`: its stages, and the moves that each of its ends makes. A picture whose
// product changed or went away meanwhile is dropped, never published.

import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Tx } from '../database/database.ts'
import { failureRule } from '../images/image-failures.ts'
import type { ImageJobPayload } from '../images/image-job.ts'
import {
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
import type { ClaimedJob, JobContext, JobHandler } from '../jobs/job.ts'
import type { Logger } from '../observability/logger.ts'
import { traceIdOf } from '../observability/trace.ts'
import { toImageError, toJobFailure, toShownError } from './attempt-failure.ts'
import { logCauses, logMove } from './attempt-log.ts'
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
  const { stages, hosts, onChanged, log } = options
  /** What a running attempt has reached. The reaper, which acts for a lost worker, finds none. */
  const progressOf = new WeakMap<Job, Progress>()
  const reportOf = (job: Job) => progressOf.get(job)?.report()
  const endOf = (job: Job) => ({ ...attemptOf(job), report: reportOf(job) })

  return {
    admit: ({ sourceUrl }) => hosts.enter(sourceUrl),

    onClaimed: async (tx, job) =>
      (await lockProduct(tx, job.payload.productId)) && (await startAttempt(tx, startOf(job))),

    run: async (job, context) => {
      const progress = stages.begin()
      progressOf.set(job, progress)
      const result = await runStages(job, { progress, context }, options)
      progress.enter('settle')
      return (tx) => settle(tx, job, { progress, result }, options)
    },

    classify: (job, error) => {
      const stage = reportOf(job)?.stage ?? 'claim'
      const known = toImageError(error, stage)
      const rule = failureRule(known)
      logCauses(log, job, { error: known, stage, rule })
      return { failure: toJobFailure(known, stage), rule }
    },

    onRetryScheduled: (tx, job, failure, dueAt) =>
      ifProductIsThere(tx, job, () =>
        scheduleRetry(tx, { ...endOf(job), error: toShownError(failure) }, dueAt),
      ),

    onDead: (tx, job, failure) =>
      ifProductIsThere(tx, job, () => fail(tx, { ...endOf(job), error: toShownError(failure) })),

    onUnreadable: async (tx, job, failure) => {
      const error = { ...toShownError(failure), code: 'worker_lost' } as const
      await failUnread(tx, { imageId: job.key, claim: job.claim, error })
    },

    onRedriven: (tx, job) => {
      const { imageId, productId } = job.payload
      return ifProductIsThere(tx, job, () =>
        requeue(tx, { imageIds: [imageId], productId, fresh: true }),
      )
    },

    onHandedBack: (tx, job) => ifProductIsThere(tx, job, () => handBack(tx, endOf(job))),

    onCommitted: (job, move, failure) => {
      onChanged()
      if (move !== 'claimed') logMove(log, job, { move, report: reportOf(job), failure })
    },
  }
}

async function runStages(
  { claim, payload }: Job,
  { progress, context }: { progress: Progress; context: JobContext },
  { stages, spoolDirectory }: ProcessImageOptions,
): Promise<StagesResult> {
  const path = join(spoolDirectory, claim)
  try {
    return await stages.run({ url: payload.sourceUrl, path, progress, ...context })
  } finally {
    // Not there after a failed download. What cannot be removed now goes at a later start.
    await unlink(path).catch(() => {})
  }
}

async function settle(
  tx: Tx,
  job: Job,
  { progress, result }: { progress: Progress; result: StagesResult },
  { presets, urlPrefix }: ProcessImageOptions,
): Promise<'done' | 'dropped'> {
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

/** Moves a picture under its product's lock. With the product its pictures are gone, and there is nothing to move. */
async function ifProductIsThere(
  tx: Tx,
  { payload }: Pick<Job, 'payload'>,
  move: () => Promise<unknown>,
): Promise<void> {
  if (await lockProduct(tx, payload.productId)) await move()
}

function attemptOf({ payload, claim, attempts }: Job) {
  return { imageId: payload.imageId, productId: payload.productId, claim, attempts }
}

function startOf(job: Job) {
  const { maxAttempts, worker, trace } = job
  return { ...attemptOf(job), maxAttempts, worker, traceId: traceIdOf(trace ?? '') ?? null }
}
