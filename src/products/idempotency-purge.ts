// Forgets idempotency keys once they have expired.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { milliseconds } from '../jobs/claim.ts'
import { inBites } from '../lib/bites.ts'

const BITE = 5_000

/** Removes the keys that are older than `keepMs`; returns how many. One that a request renews meanwhile stays. */
export async function purgeIdempotencyKeys(
  db: Db,
  keepMs: number,
  signal: AbortSignal,
): Promise<number> {
  return await inBites(BITE, (size) => deleteExpired(db, keepMs, size), signal)
}

async function deleteExpired(db: Db, keepMs: number, size: number): Promise<number> {
  const isOld = sql`created_at < now() - ${milliseconds(keepMs)}`
  const { rows } = await sql<{ deleted: number }>`
    WITH expired AS (
      SELECT principal, key FROM idempotency_keys WHERE ${isOld}
      ORDER BY created_at LIMIT ${size} FOR UPDATE SKIP LOCKED),
    gone AS (
      DELETE FROM idempotency_keys USING expired
      WHERE idempotency_keys.principal = expired.principal AND idempotency_keys.key = expired.key
        AND ${isOld}
      RETURNING 1)
    SELECT count(*) AS deleted FROM gone`.execute(db)
  return rows[0]?.deleted ?? 0
}
