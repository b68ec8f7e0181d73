// A process that was killed leaves leases behind, and its jobs wait for them to run out.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'

/**
 * Lets all leases run out at once, so that the reaper takes their jobs back. For who knows that no other
 * process works on this ledger, and before it works on it itself.
 */
export async function endFormerLeases(db: Db): Promise<void> {
  await sql`
    UPDATE jobs SET lease_until = clock_timestamp()
    WHERE state = 'running' AND lease_until > clock_timestamp()`.execute(db)
}
