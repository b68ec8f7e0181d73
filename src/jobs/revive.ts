// dead → pending by the message of the death: an operator of the broker has put it back into the queue.
// Each death is good for one revival, and only as long as it is the job's last one.

import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { BoundJobs } from './bind.ts'
import type { RevivedJob } from './job.ts'
import { anew } from './redrive.ts'

export type Revival =
  | 'revived'
  /** The job lives, or has died again since. */
  | 'refused'
  /** It is dead of this, but of a kind that nobody here knows. */
  | 'left'

export interface ReviveOptions {
  jobId: string
  death: string
  jobs: BoundJobs
}

/** With fresh attempts, due at once. Its owner hears of it in the same transaction. */
export async function revive(tx: Tx, { jobId, death, jobs }: ReviveOptions): Promise<Revival> {
  const job = await lockDead(tx, jobId, death)
  if (!job) return 'refused'
  const bound = jobs.get(job.name)
  if (!bound) return 'left'
  await redriveDead(tx, jobId, death)
  // What cannot be read dies of it again, and its owner knows no more than its key.
  if (bound.isPayload(job.payload)) await bound.handler.onRedriven(tx, job)
  return 'revived'
}

async function lockDead(tx: Tx, jobId: string, death: string): Promise<RevivedJob | undefined> {
  const { rows } = await sql<RevivedJob>`
    SELECT id, name, key, payload FROM jobs
    WHERE id = ${jobId} AND state = 'dead' AND death = ${death} FOR UPDATE`.execute(tx)
  return rows[0]
}

async function redriveDead(tx: Tx, jobId: string, death: string): Promise<void> {
  await sql`
    UPDATE jobs SET ${anew}
    WHERE id = ${jobId} AND state = 'dead' AND death = ${death}`.execute(tx)
}
