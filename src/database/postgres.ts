// PostgreSQL through `pg`: a pool of sessions with named statements, and one session more for
// NOTIFY and LISTEN.

import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Logger } from '../observability/logger.ts'
import type { Database } from './database.ts'
import { createPgSession, createStatementNames } from './pg-session.ts'
import { explainRefusal } from './postgres-refusals.ts'
import { openPostgresSignals } from './postgres-signals.ts'
import { answers, openSilenceWatch, type SilenceWatch } from './postgres-silence.ts'
import { createDatabase, type SqlPool, type StatementObserver } from './sessions.ts'
import { parserOf } from './types.ts'

export interface PostgresOptions {
  /** Where, as whom, with TLS or without: as `pg` takes it. */
  connection: pg.ClientConfig
  /** Sessions at most, besides the one for signals. */
  poolSize: number
  /** How long to wait for a session: for one that is lent, for a log-in, and for the first answer after it. */
  acquireTimeoutMs?: number
  /** After this the server ends a statement; one of ours takes milliseconds. */
  statementTimeoutMs?: number
  onStatement?: StatementObserver
  /** Told when the server, or signals of other processes, cannot be heard, and when they can again. */
  log?: Pick<Logger, 'info' | 'warn'>
}

/** How much longer than the server the driver waits, for when one session alone cannot be heard any more. */
const SILENCE_MS = 5_000

/**
 * Opens one session at once, so that what is wrong shows here: `unavailable` when trying again may
 * help, else an Error whose message says what to correct.
 */
export async function openPostgres(options: PostgresOptions): Promise<Database> {
  const { acquireTimeoutMs = 5_000, statementTimeoutMs = 30_000 } = options
  const sockets = createSockets()
  const config: pg.ClientConfig = {
    stream: sockets.create,
    fallback_application_name: 'vitrine',
    keepAlive: true,
    ...options.connection,
    connectionTimeoutMillis: acquireTimeoutMs,
    query_timeout: statementTimeoutMs + SILENCE_MS,
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  }
  const pool = new pg.Pool({
    ...config,
    max: options.poolSize,
    onConnect: (client) => settle(client, { statementTimeoutMs, timeoutMs: acquireTimeoutMs }),
  })
  // A session can break at any time, idle or lent. The pool replaces the one, the next statement
  // reports the other; without a listener either would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => void client.on('error', () => {}))
  try {
    ;(await pool.connect()).release()
  } catch (error) {
    sockets.destroy()
    await pool.end()
    throw explainRefusal(error, options.connection)
  }
  const signals = await openPostgresSignals(config, options.log)
  const silence = openSilenceWatch({ config, giveUp: sockets.destroy, log: options.log })
  return createDatabase({
    engine: 'postgres',
    pool: {
      ...createSqlPool(pool, sockets.destroy, silence),
      answersBeside: (timeoutMs) => {
        const isUsedUp = pool.idleCount === 0 && pool.totalCount >= options.poolSize
        return isUsedUp && !silence.isAway ? answers(config, timeoutMs) : undefined
      },
    },
    signals,
    onStatement: options.onStatement,
    close: () => signals[Symbol.asyncDispose](),
  })
}

/**
 * The settings that our statements and parsers rely on, whatever the role or the database prefers. Sent as
 * a statement and not as startup parameters, which PgBouncer refuses. (In PgBouncer's transaction
 * mode they stay with whichever server session ran this: there, give them to the role by ALTER ROLE.)
 * `jit` is off because compiling costs more than it saves: the announcer's statement in a lane of a million, 45 → 125 ms. `work_mem` holds
 * the map of what a search has found; too small, it names pages instead of rows, and all on them are looked at again:
 * 125,000 of ten million took 9.7 s with the default of 4 MB and 3.5 s with this. Few statements take any of it.
 * Limited like the log-in before it: a pooler lets in although the server behind it is gone.
 */
async function settle(
  client: pg.ClientBase,
  { statementTimeoutMs, timeoutMs }: { statementTimeoutMs: number; timeoutMs: number },
): Promise<void> {
  const text = `
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'; SET jit = off; SET work_mem = '32MB';
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = ${statementTimeoutMs};
    SET idle_in_transaction_session_timeout = ${statementTimeoutMs}`
  await client.query({ text, query_timeout: timeoutMs } as pg.QueryConfig)
}

/**
 * The sockets of all sessions. `pg` forgets that of a session that could not be opened; a server that waits
 * for a password keeps it open for a minute, and so the process that has failed to start.
 */
function createSockets(): { create(): Socket; destroy(): void } {
  const sockets = new Set<Socket>()
  return {
    create: () => {
      const socket = new Socket()
      sockets.add(socket)
      return socket.once('close', () => sockets.delete(socket))
    },
    destroy: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function createSqlPool(pool: pg.Pool, destroySockets: () => void, silence: SilenceWatch): SqlPool {
  const nameOf = createStatementNames()
  return {
    connect: async () => {
      if (silence.isAway) throw new Error('the server is silent')
      const client = await pool.connect()
      const session = createPgSession(client, nameOf, (broken) => client.release(broken))
      return {
        ...session,
        query: (text, values) => silence.attend(session.query(text, values)),
      }
    },
    end: async () => {
      // Those who wait for a session get theirs first: a pool that ends lets them wait until their time is up.
      while (pool.waitingCount > 0) await delay(10)
      await pool.end()
      silence[Symbol.dispose]()
      destroySockets()
    },
  }
}
