// The epoch of the event log. Clients hold ids of events and come back with them; after a restore the
// same ids are given to other events. So the log remembers where it was when it got its epoch, and
// begins another one when it finds itself somewhere else.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'

/**
 * What every way of restoring changes: a dump goes to another server, database or table, a base backup
 * and a promoted standby (which may lack the last events) start a new timeline. A folder that is copied
 * back file by file changes nothing of this: `beginEpoch` is for that.
 */
const origin = sql<string>`(SELECT concat_ws('/', control.system_identifier,
  left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_database.oid, pg_relation_filenode('events'))
  FROM pg_control_system() AS control, pg_database WHERE datname = current_database())`

const newEpoch = sql<string>`left(gen_random_uuid()::text, 8)`

/** Eight hexadecimal digits. Read in the statement that reads what counts within it. */
export const currentEpoch = sql<string>`(SELECT epoch FROM event_log)`

/** Begins a new epoch if the log was restored since the last one began. Of several processes one does. */
export async function beginEpochAfterRestore(db: Db): Promise<void> {
  const { rows } = await sql<{ moved: boolean }>`
    SELECT origin <> ${origin} AS moved FROM event_log`.execute(db)
  if (!rows[0]?.moved) return
  await sql`
    UPDATE event_log SET epoch = ${newEpoch}, origin = ${origin} WHERE origin <> ${origin}`.execute(
    db,
  )
}

/** Begins a new epoch and returns it: whoever follows the log is told to start again from what is there now. */
export async function beginEpoch(db: Db): Promise<string> {
  const { rows } = await sql<{ epoch: string }>`
    UPDATE event_log SET epoch = ${newEpoch}, origin = ${origin} RETURNING epoch`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the event log has no epoch')
  return row.epoch
}
