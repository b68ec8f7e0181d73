// The log is kept for a while, for those who come back, and then removed from its old end.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { inBites } from '../lib/bites.ts'

const BITE = 1_000

/**
 * Removes events older than `keepMs`, which must be longer than any transaction that writes events;
 * returns how many. In one statement with the note up to where, by which somebody who comes back from
 * before is told. Any number of nodes may do it: whoever finds another one at it does nothing.
 */
export async function purgeEvents(db: Db, keepMs: number, signal: AbortSignal): Promise<number> {
  return await inBites(BITE, (size) => deleteOldest(db, keepMs, size), signal)
}

/** Up to the first event that is not old yet: what is left has no gaps of ours. */
async function deleteOldest(db: Db, keepMs: number, size: number): Promise<number> {
  const { rows } = await sql<{ purged: number }>`
    WITH log AS MATERIALIZED (SELECT purged_through FROM event_log FOR UPDATE SKIP LOCKED),
    oldest AS MATERIALIZED (
      SELECT events.id, events.at < now() - ${keepMs}::bigint * interval '1 millisecond' AS is_old
      FROM log CROSS JOIN LATERAL (
        SELECT id, at FROM events WHERE id > log.purged_through ORDER BY id LIMIT ${size}) AS events),
    gone AS (
      DELETE FROM events WHERE id = ANY(ARRAY(
        SELECT id FROM oldest
        WHERE id < coalesce((SELECT min(id) FROM oldest WHERE NOT is_old), id + 1)))
      RETURNING id),
    noted AS (
      UPDATE event_log SET purged_through = (SELECT max(id) FROM gone)
      WHERE EXISTS (SELECT FROM gone))
    SELECT count(*) AS purged FROM gone`.execute(db)
  return rows[0]?.purged ?? 0
}
