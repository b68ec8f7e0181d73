// The worker's half of the composition: the guarded client, the picture children, and the handler that
// the ledger's worker runs.

import { hostname } from 'node:os'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import { bindJob, bindJobs } from '../jobs/bind.ts'
import { endFormerLeases } from '../jobs/former-leases.ts'
import { openReaper } from '../jobs/reaper.ts'
import { openWorker } from '../jobs/worker.ts'
import type { LoggerOf } from '../observability/logger.ts'
import type { AddressPolicy } from '../outbound/address-policy.ts'
import { openOutbound } from '../outbound/outbound.ts'
import { createHostGate } from '../pipeline/host-gate.ts'
import { openRenderer } from '../pipeline/open-renderer.ts'
import { presets } from '../pipeline/presets.ts'
import { createProcessImage } from '../pipeline/process-image.ts'
import { emptySpool } from '../pipeline/spool.ts'
import { createStages } from '../pipeline/stages.ts'
import { openSweeper, sweepGraceMs } from '../pipeline/sweep.ts'
import type { Queue } from '../queue/queue.ts'
import type { Storage } from '../storage/storage.ts'

export interface PictureWorkerOptions {
  config: Config
  logOf: LoggerOf
  database: Database
  queue: Queue
  storage: Storage
  policy: AddressPolicy
  imageJob: ImageJobDefinition
}

export interface PictureWorker extends AsyncDisposable {
  /** Takes jobs from now on; to be called once. */
  begin(): void
}

/** Ready to begin. Its end waits for running pictures, and gives back what does not finish in time. */
export async function openPictureWorker(options: PictureWorkerOptions): Promise<PictureWorker> {
  const { config, logOf, database, queue, storage, policy, imageJob } = options
  await using starting = new AsyncDisposableStack()
  const outbound = starting.use(
    openOutbound({
      ...config.outbound,
      perOrigin: config.worker.perHost,
      policy,
      version: packageJson.version,
    }),
  )
  // The embedded database lets one process in: whatever others left, they left when they ended. A worker
  // on PostgreSQL that was given the same DATA_DIR may be running, so the folder is not the same.
  const isAlone = database.engine === 'pglite'
  const spoolDirectory = join(config.dataDir, isAlone ? 'spool-embedded' : 'spool')
  if (isAlone) await endFormerLeases(database.db)
  await emptySpool(spoolDirectory, isAlone ? 0 : spoolAgeMs(config))
  const renderer = starting.use(
    await openRenderer({
      processes: config.worker.renderProcesses,
      limits: config.pictures,
      childMemoryBytes: config.pictures.childMemoryBytes,
      timeoutMs: config.pictures.renderTimeoutMs,
      spoolDirectory,
      log: logOf('pipeline'),
    }),
  )
  const handler = createProcessImage({
    stages: createStages({
      db: database.db,
      outbound,
      renderer,
      storage,
      presets,
      download: config.outbound,
      log: logOf('pipeline'),
    }),
    hosts: createHostGate(config.worker.perHost),
    presets,
    spoolDirectory,
    urlPrefix: storage.urlPrefix,
    onChanged: () => database.signals.send('events'),
    log: logOf('pipeline'),
  })
  const jobs = bindJobs(bindJob(imageJob, handler))
  const log = logOf('jobs')
  starting.use(openReaper({ database, jobs, settings: config.jobs, log }))
  const graceMs = sweepGraceMs(config.jobs)
  starting.use(openSweeper({ database, storage, graceMs, log: logOf('pipeline') }))
  const everything = starting.move()
  return {
    begin: () => {
      const worker = openWorker({
        database,
        queue,
        jobs,
        name: `${hostname()}:${process.pid}`,
        settings: { ...config.jobs, concurrency: config.worker.concurrency },
        log,
      })
      everything.defer(() => worker.stop({ deadlineMs: config.shutdownTimeoutMs }))
    },
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

/**
 * Whoever shares the spool is done with what is older: twice the time of an attempt, and the turns of all
 * others at a child, before the inspection and before the rendering.
 */
function spoolAgeMs({ jobs, worker, pictures }: Config): number {
  return 2 * (jobs.timeoutMs + worker.concurrency * pictures.renderTimeoutMs)
}
