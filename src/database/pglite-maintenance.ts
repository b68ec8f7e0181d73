// The checkpoints and vacuums that PostgreSQL does by itself and PGlite does not: without them the
// log of changes, the time a start takes after a kill, and the tables grow without end.

import type { SqlPool, SqlSession } from './sessions.ts'

export interface MaintenanceOptions {
  /** How often to look whether anything is due. */
  everyMs?: number
  /**
   * Written since the last checkpoint. A start after a kill replays it at 12 ms a MiB; a checkpoint
   * takes 10 ms for 16 MiB, 45 ms for 256 MiB.
   */
  checkpointBytes?: number
  /** Written since tables were last looked over for dead rows. */
  vacuumBytes?: number
}

export interface MaintainedPool extends Pick<SqlPool, 'connect'> {
  /** True while somebody holds the session or waits for it. */
  isBusy(): boolean
}

const MiB = 2 ** 20
/** Then it takes its turn in the queue: a database that is never idle needs this the most. */
const PATIENCE_MS = 60_000

/** Looks every few seconds, waits for a quiet moment, and holds the session for one statement at a time. */
export function startMaintenance(
  pool: MaintainedPool,
  options: MaintenanceOptions = {},
): AsyncDisposable {
  const { everyMs = 5_000 } = options
  const maintain = createMaintainer(pool, options)
  let running: Promise<void> | undefined
  let waits = 0
  const timer = setInterval(() => {
    if (running) return
    if (pool.isBusy() && ++waits * everyMs < PATIENCE_MS) return
    waits = 0
    // Whatever stopped it meets the statements of others too, who report it. The next look tries again.
    running = maintain()
      .catch(() => {})
      .finally(() => {
        running = undefined
      })
  }, everyMs)
  timer.unref()
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await running
    },
  }
}

function createMaintainer(
  pool: MaintainedPool,
  { checkpointBytes = 16 * MiB, vacuumBytes = MiB }: MaintenanceOptions,
): () => Promise<void> {
  let vacuumedAt = 0
  return async () => {
    const { position, uncheckpointed } = await holdSession(pool, readWal)
    if (uncheckpointed >= checkpointBytes)
      await holdSession(pool, (session) => session.queryOnce('CHECKPOINT', []))
    if (position - vacuumedAt < vacuumBytes) return
    vacuumedAt = position
    for (const table of await holdSession(pool, selectWornTables))
      await holdSession(pool, (session) => session.queryOnce(`VACUUM (ANALYZE) ${table}`, []))
  }
}

async function holdSession<T>(
  pool: MaintainedPool,
  use: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const session = await pool.connect()
  try {
    return await use(session)
  } finally {
    session.release(false)
  }
}

interface Wal {
  /** Bytes written to the log since the database was made. */
  position: number
  /** Of these, since the last checkpoint. */
  uncheckpointed: number
}

async function readWal(session: SqlSession): Promise<Wal> {
  const { rows } = await session.queryOnce(
    `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS position,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::float8 AS uncheckpointed
     FROM pg_control_checkpoint()`,
    [],
  )
  const [wal] = rows as Wal[]
  if (!wal) throw new Error('the position of the write-ahead log is not known')
  return wal
}

/** By the rule of autovacuum: 50 rows and a fifth of the table dead, or a tenth of it changed. */
async function selectWornTables(session: SqlSession): Promise<string[]> {
  // Counts are passed on once a second at most, and at the end of a statement: of this one for certain.
  await session.queryOnce('SELECT pg_stat_force_next_flush()', [])
  const { rows } = await session.queryOnce(
    `SELECT relid::regclass::text AS name FROM pg_stat_user_tables
     WHERE n_dead_tup > 50 + n_live_tup / 5 OR n_mod_since_analyze > 50 + n_live_tup / 10`,
    [],
  )
  return (rows as { name: string }[]).map(({ name }) => name)
}
