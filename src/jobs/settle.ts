// running → done, fenced by the claim: a worker that lost its lease changes nothing.

import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { ClaimedJob, Settlement } from './job.ts'

/**
 * Ends the job, then runs the effects in the same transaction. Undefined when the claim is no longer
 * ours, and then no effect has run. Throws what the settlement throws.
 */
export async function settle(
  tx: Tx,
  job: ClaimedJob,
  settlement: Settlement,
): Promise<'done' | 'dropped' | undefined> {
  if (!(await finish(tx, job))) return undefined
  const result = await settlement(tx)
  if (result === 'dropped') await setResult(tx, job.id, result)
  return result
}

async function finish(tx: Tx, { id, claim }: ClaimedJob): Promise<boolean> {
  const { rows } = await sql`
    UPDATE jobs SET state = 'done', result = 'done', finished_at = clock_timestamp(),
      claim = NULL, lease_until = NULL, worker = NULL, error = NULL, uncounted = 0
    WHERE id = ${id} AND state = 'running' AND claim = ${claim}
    RETURNING id`.execute(tx)
  return rows.length === 1
}

/** Of a row that this transaction has ended, and therefore holds. */
async function setResult(tx: Tx, jobId: string, result: string): Promise<void> {
  await sql`UPDATE jobs SET result = ${result} WHERE id = ${jobId} AND state = 'done'`.execute(tx)
}
