// running → running: a process extends the leases of all its jobs in one statement.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { milliseconds } from './claim.ts'

export interface Held {
  id: string
  claim: string
}

/**
 * Returns the claims that were extended. Rows that somebody has locked (our own settle, mostly) are
 * left out: waiting behind one of them let 31 of 31 other leases run out.
 */
export async function extendLeases(
  db: Db,
  held: readonly Held[],
  leaseMs: number,
): Promise<Set<string>> {
  const claims = held.map(({ claim }) => claim)
  const { rows } = await sql<{ claim: string }>`
    UPDATE jobs SET lease_until = clock_timestamp() + ${milliseconds(leaseMs)}
    FROM (
      SELECT id FROM jobs
      WHERE id = ANY(${held.map(({ id }) => id)}::uuid[]) AND state = 'running'
        AND claim = ANY(${claims}::uuid[])
      ORDER BY id FOR UPDATE SKIP LOCKED) AS ours
    WHERE jobs.id = ours.id AND jobs.state = 'running' AND jobs.claim = ANY(${claims}::uuid[])
    RETURNING jobs.claim`.execute(db)
  return new Set(rows.map(({ claim }) => claim))
}

/** Those of the claims that the ledger still shows. A plain read: it sees locked rows as they were. */
export async function readClaims(db: Db, held: readonly Held[]): Promise<Set<string>> {
  const { rows } = await sql<{ claim: string }>`
    SELECT claim FROM jobs
    WHERE id = ANY(${held.map(({ id }) => id)}::uuid[]) AND state = 'running'
      AND claim = ANY(${held.map(({ claim }) => claim)}::uuid[])`.execute(db)
  return new Set(rows.map(({ claim }) => claim))
}
