// Databases for benchmarks: empty ones with the schema of this release, on the server that
// BENCH_DATABASE_URL names, dropped in the end.

import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Database } from '../src/database/database.ts'
import { migrate } from '../src/database/migrate.ts'
import { openDatabase } from '../src/database/open.ts'

const SERVER = process.env.BENCH_DATABASE_URL || undefined

/** Filling a large catalogue takes minutes, and its indexes wait for each other's sessions. */
const FILL_TIMEOUT_MS = 60 * 60_000

export const hasPostgres = SERVER !== undefined
export const POSTGRES_MISSING =
  'BENCH_DATABASE_URL is not set: a PostgreSQL server on which databases may be created, postgres://user@host:port/postgres'

/** After which the server knows all that a session did: it is told once that was idle for 10 s (PGSTAT_IDLE_INTERVAL). */
export const STATISTICS_MS = 12_000

export interface BenchDatabase extends AsyncDisposable {
  /** `DATABASE_URL` of it. */
  url: string
}

/** A migrated database; `fill` puts into it what it begins with. */
export async function createBenchDatabase(
  fill: (database: Database) => Promise<void> = async () => {},
): Promise<BenchDatabase> {
  const name = `vitrine_bench_${randomUUID().replaceAll('-', '')}`
  await onServer((client) => client.query(`CREATE DATABASE ${name}`))
  const drop = () => onServer((client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`))
  const url = urlOf(name)
  try {
    await using database = await openDatabase({
      engine: 'postgres',
      connection: { connectionString: url },
      poolSize: 8,
      acquireTimeoutMs: FILL_TIMEOUT_MS,
      statementTimeoutMs: FILL_TIMEOUT_MS,
    })
    await migrate(database)
    await fill(database)
  } catch (error) {
    await drop()
    throw error
  }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      await drop()
    },
  }
}

/** What the figures depend on, in a line. */
export async function describeServer(): Promise<string> {
  const { rows } = await onServer((client) =>
    client.query(`SELECT 'PostgreSQL ' || current_setting('server_version') || ', shared_buffers '
      || current_setting('shared_buffers') || ', fsync ' || current_setting('fsync')
      || ', synchronous_commit ' || current_setting('synchronous_commit') AS server`),
  )
  return rows[0].server
}

/** Transactions of the database so far, as the server counts them: each statement alone is one. */
export async function transactionsOf({ url }: BenchDatabase): Promise<number> {
  const { rows } = await onServer((client) =>
    client.query(
      'SELECT (xact_commit + xact_rollback)::int AS n FROM pg_stat_database WHERE datname = $1',
      [new URL(url).pathname.slice(1)],
    ),
  )
  return rows[0].n
}

async function onServer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  if (SERVER === undefined) throw new Error(POSTGRES_MISSING)
  const client = new pg.Client({ connectionString: SERVER })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function urlOf(name: string): string {
  const url = new URL(SERVER ?? '')
  url.pathname = `/${name}`
  return url.href
}
