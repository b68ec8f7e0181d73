// A worker whose bells are rung by hand, and what tests of single jobs ask about it.

import assert from 'node:assert/strict'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import type { Worker } from '../../src/jobs/worker.ts'
import { eventually } from '../support/eventually.ts'
import {
  addJob,
  type Behaviour,
  handQueue,
  type JobRow,
  type Recorder,
  readJob,
  record,
  type StartOptions,
  startWorker,
} from './support.ts'

interface HandRung extends AsyncDisposable {
  worker: Worker
  ring: ReturnType<typeof handQueue>['ring']
}

/** What tests do with one worker and its jobs, on the database of their suite: it is there once they run. */
export function handRung(database: () => Database) {
  const start = (recorder: Recorder, options: Partial<StartOptions> = {}): HandRung => {
    const queue = handQueue()
    const worker = startWorker(database(), { queue, jobs: recorder.jobs, ...options })
    return { worker, ring: queue.ring, [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose]() }
  }
  /** Resolves once no attempt of the job is under way. */
  const settled = (id: string): Promise<JobRow> =>
    eventually(async () => {
      const row = await readJob(database(), id)
      assert.notEqual(row.state, 'running')
      assert.ok(row.rings > 0 || row.attempts + row.uncounted > 0 || row.state !== 'pending')
      return row
    })
  /** One job, one bell, one attempt. */
  const attemptOnce = async (behaviour: Behaviour, options: Partial<StartOptions> = {}) => {
    const recorder = record(behaviour)
    await using worker = start(recorder, options)
    const id = await addJob(database())
    await worker.ring(id)
    return { id, recorder, row: await settled(id) }
  }
  return { start, settled, attemptOnce }
}

export function fails(code: AppError['code']): () => Promise<never> {
  return async () => {
    throw new AppError(code, 'as the test wants it')
  }
}

export async function clockPlus({ db }: Database, ms: number): Promise<string> {
  const { rows } = await sql<{ at: string }>`
    SELECT clock_timestamp() + ${ms}::float8 * interval '1 millisecond' AS at`.execute(db)
  return rows[0]!.at
}
