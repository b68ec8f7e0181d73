// Builds a Database over any pool of SQL sessions, so that both adapters behave alike: the guard
// against the outer `db` inside a transaction, and the one place where driver errors are translated.

import { AsyncLocalStorage } from 'node:async_hooks'
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely'
import type { Database, Signals } from './database.ts'
import { toAppError } from './sql-errors.ts'
import type { Tables } from './tables.ts'

export interface SqlResult {
  command: string
  rowCount: number
  rows: unknown[]
}

/** One session, held from `connect` to `release`. */
export interface SqlSession {
  query(text: string, values: readonly unknown[]): Promise<SqlResult>
  /** Gives the session back; `broken` closes it instead of using it again. */
  release(broken: boolean): void
}

export interface SqlPool {
  connect(): Promise<SqlSession>
  end(): Promise<void>
}

export interface SessionsOptions {
  engine: Database['engine']
  pool: SqlPool
  signals: Signals
  /** Closes what the adapter opened, after the pool has ended. */
  close(): Promise<void>
}

export function createDatabase({ engine, pool, signals, close }: SessionsOptions): Database {
  const insideTransaction = new AsyncLocalStorage<true>()
  const dialectPool: PostgresPool = {
    options: {},
    connect: async () => {
      if (insideTransaction.getStore()) {
        throw new Error('the outer database was used inside a transaction: pass the transaction on')
      }
      return toDialectClient(await pool.connect().catch(rethrow))
    },
    end: () => pool.end(),
  }
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: dialectPool }) })
  return {
    engine,
    db,
    signals,
    transaction: (work) =>
      db.transaction().execute((tx) => insideTransaction.run(true, () => work(tx))),
    ping: async () => {
      await sql`SELECT 1`.execute(db)
    },
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await close()
    },
  }
}

function toDialectClient(session: SqlSession): PostgresPoolClient {
  let broken = false
  const query = async (text: string, values: readonly unknown[]) => {
    try {
      return await session.query(text, values)
    } catch (error) {
      const translated = toAppError(error)
      broken ||= translated !== error
      throw translated
    }
  }
  return {
    query: query as PostgresPoolClient['query'],
    release: (discard) => session.release(broken || discard === true),
  }
}

function rethrow(error: unknown): never {
  throw toAppError(error)
}
