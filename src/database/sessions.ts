// Builds a Database over any pool of SQL sessions, so that both adapters behave alike: the guard
// against the outer `db` inside a transaction, the way values are sent, the one place where driver
// errors are translated.

import { AsyncLocalStorage } from 'node:async_hooks'
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely'
import { AppError } from '../errors.ts'
import { withDeadline } from '../lib/deadline.ts'
import type { Database, RawSession, Signals } from './database.ts'
import { encodeParameters } from './parameters.ts'
import { isSessionLost, toAppError, unavailable } from './sql-errors.ts'

export interface SqlResult {
  /** The first word of what the server says was done: `COMMIT` of a failed transaction is `ROLLBACK`. */
  command: string
  rowCount: number
  rows: unknown[]
}

/** A value as it is sent: the text that PostgreSQL reads, or NULL. */
export type SqlValue = string | null

/** One session, held from `connect` to `release`. */
export interface SqlSession {
  query(text: string, values: readonly SqlValue[]): Promise<SqlResult>
  /** As `query`, without a name kept for the statement and without a time limit of the driver's. */
  queryOnce(text: string, values: readonly SqlValue[]): Promise<SqlResult>
  /** Runs any number of statements without values. */
  script(text: string): Promise<void>
  /** Gives the session back; `broken` closes it instead of using it again. */
  release(broken: boolean): void
}

export interface SqlPool {
  /** Whatever it throws means that no session is to be had now. */
  connect(): Promise<SqlSession>
  /**
   * Whether the server answers a session of its own within that time, while others hold every session of the pool.
   * Undefined while one is free, and while the server is known to be away.
   */
  answersBeside?(timeoutMs: number): Promise<boolean> | undefined
  /** Waits for those who hold a session or asked for one, closes every session. Called once, and nobody asks after it. */
  end(): Promise<void>
}

/** Told of each statement before it is sent, `begin` and `commit` too: for tests that count. */
export type StatementObserver = (text: string) => void

export interface SessionsOptions {
  engine: Database['engine']
  pool: SqlPool
  signals: Signals
  onStatement: StatementObserver | undefined
  /** Closes what the adapter opened besides the pool, before the pool ends. */
  close(): PromiseLike<void>
}

const PING_TIMEOUT_MS = 2_000

/** Translates what the pool throws; once it is closed, everything throws `unavailable`. */
export function createDatabase(options: SessionsOptions): Database {
  const { engine, pool, signals, onStatement } = options
  // The flag outlives the transaction in whatever was started inside it and lives on: it is lowered.
  const scopes = new AsyncLocalStorage<{ open: boolean }>()
  let closing: Promise<void> | undefined
  const close = async () => {
    await options.close()
    await pool.end()
  }

  const connect = async () => {
    if (scopes.getStore()?.open)
      throw new Error('the outer database was used inside a transaction: pass the transaction on')
    if (closing) throw unavailable(undefined, 'The database is closed.')
    return await pool.connect().catch((error: unknown) => {
      throw unavailable(error)
    })
  }
  const dialectPool: PostgresPool = {
    options: {},
    connect: async () => toDialectClient(await connect(), onStatement),
    end: () => pool.end(),
  }
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: dialectPool }) })

  return {
    engine,
    db,
    signals,
    transaction: (work) =>
      db.transaction().execute(async (tx) => {
        const scope = { open: true }
        try {
          return await scopes.run(scope, () => work(tx))
        } finally {
          scope.open = false
        }
      }),
    exclusive: async (work) => await useExclusively(await connect(), work),
    ping: (timeoutMs = PING_TIMEOUT_MS) => ping(db, pool, timeoutMs),
    [Symbol.asyncDispose]: async () => {
      closing ??= close()
      await closing
    },
  }
}

function toDialectClient(
  session: SqlSession,
  onStatement: StatementObserver | undefined,
): PostgresPoolClient {
  let lost: unknown
  const query = async (text: string, values: readonly unknown[]) => {
    if (lost) throw lost // the rollback after it too: on a silent server it would wait once more
    onStatement?.(text)
    try {
      return await session.query(text, encodeParameters(values))
    } catch (error) {
      const translated = toAppError(error)
      if (isSessionLost(error)) lost = translated
      throw translated
    }
  }
  return {
    query: query as PostgresPoolClient['query'],
    release: (discard) => session.release(lost !== undefined || discard === true),
  }
}

async function useExclusively<T>(
  session: SqlSession,
  work: (session: RawSession) => Promise<T>,
): Promise<T> {
  let broken = true
  try {
    const result = await work({
      query: async <Row>(text: string, values: readonly unknown[] = []) =>
        (await session.queryOnce(text, encodeParameters(values))).rows as Row[],
      script: (text) => session.script(text),
    })
    broken = false
    return result
  } catch (error) {
    throw toAppError(error)
  } finally {
    session.release(broken)
  }
}

/**
 * Under a deadline of its own: a health check must not wait as long as a request may. Nor does it queue behind
 * requests: a server that is busy answers none sooner when a load balancer takes us out.
 */
async function ping(db: Database['db'], pool: SqlPool, timeoutMs: number): Promise<void> {
  const answers = await pool.answersBeside?.(timeoutMs)
  if (answers === true) return
  if (answers === false) throw unavailable(undefined)
  const late = () => unavailable(undefined, `The database did not answer within ${timeoutMs} ms.`)
  try {
    await withDeadline(sql`SELECT 1`.execute(db), timeoutMs, late)
  } catch (error) {
    throw error instanceof AppError ? error : unavailable(error)
  }
}
