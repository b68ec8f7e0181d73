// The worker of the doorbell bench, forked by it: tells of each job when its handler was started. Takes its
// settings from the environment, and ends with whoever forked it.

import { once } from 'node:events'
import { openWorker } from '../src/jobs/worker.ts'
import { record } from '../test/jobs/support.ts'
import { machineMs, openNode } from './doorbell-node.ts'

/** What it sends: first that it listens, then each job. */
export type WorkerMessage = 'listening' | { id: string; startedAt: number }

const tell = (message: WorkerMessage) => process.send?.(message)

await using node = await openNode(process.env)
const { config, database, queue, log } = node
const { jobs } = record({
  run: async ({ id }) => {
    tell({ id, startedAt: machineMs() })
    return async () => 'done'
  },
})
await using _worker = openWorker({
  database,
  queue,
  jobs,
  name: 'bench',
  settings: { ...config.jobs, concurrency: config.worker.concurrency },
  log,
})
tell('listening')
await once(process, 'disconnect')
