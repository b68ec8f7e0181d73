// The embedded database: PostgreSQL in WebAssembly, one session, files in a folder. It knows no
// statement timeouts and never calls fsync: it survives `kill -9`, not a power cut.

import { statfs } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { PGlite } from '@electric-sql/pglite'
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm'
import pg from 'pg'
import type { Database } from './database.ts'
import { createLocalSignals } from './local-signals.ts'
import { createPgSession, createStatementNames } from './pg-session.ts'
import { claimFolder } from './pglite-folder.ts'
import {
  type MaintainedPool,
  type MaintenanceOptions,
  startMaintenance,
} from './pglite-maintenance.ts'
import { createPgliteWire } from './pglite-wire.ts'
import {
  createDatabase,
  type SqlPool,
  type SqlSession,
  type StatementObserver,
} from './sessions.ts'
import { parserOf } from './types.ts'

export interface PgliteOptions {
  /** A folder, or undefined for a database in memory. */
  directory: string | undefined
  maintenance?: MaintenanceOptions
  onStatement?: StatementObserver
}

/** Throws an Error for the operator when the folder is in use by another process or cannot be opened. */
export async function openPglite(options: PgliteOptions): Promise<Database> {
  const { directory } = options
  await useTicks()
  await using acquired = new AsyncDisposableStack()
  if (directory !== undefined) acquired.use(await claimFolder(directory, initialise))
  const pglite = acquired.adopt(await create(directory), (db) => db.close())
  const pool = createSingleSessionPool(await connect(pglite))
  const resources = acquired.move()
  const maintenance = startMaintenance(pool, options.maintenance)
  return createDatabase({
    engine: 'pglite',
    pool: {
      connect: pool.connect,
      end: async () => {
        await pool.end()
        await resources.disposeAsync()
      },
    },
    signals: createLocalSignals(),
    onStatement: options.onStatement,
    close: () => maintenance[Symbol.asyncDispose](),
  })
}

/**
 * Where PGlite was opened before `process.nextTick` was much used, a tick costs 0.4 µs for good instead of
 * 0.06 (the shape of its object finds no place among the many that PGlite makes), and an answer of the
 * server takes eight of them.
 */
async function useTicks(): Promise<void> {
  for (let n = 0; n < 1_000; n++) process.nextTick(() => {})
  await new Promise((resolve) => setImmediate(resolve))
}

async function initialise(directory: string): Promise<void> {
  await (await create(directory)).close()
}

/** The one session. It is never ended: that would end the engine, which is closed by itself. */
async function connect(pglite: PGlite): Promise<pg.Client> {
  const client = new pg.Client({
    stream: () => createPgliteWire(pglite) as Socket,
    user: 'postgres',
    database: 'postgres',
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  })
  // A crash inside WebAssembly ends the session: the next statement reports it.
  client.on('error', () => {})
  await client.connect()
  await client.query(`
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'; SET jit = off;
    -- Statements are planned while tables are small, and kept: by an index as soon as there are a few
    -- pages, all of which are in memory.
    SET random_page_cost = 1`)
  return client
}

async function create(directory: string | undefined): Promise<PGlite> {
  const extensions = { pg_trgm }
  if (directory === undefined) return await PGlite.create({ extensions })
  try {
    return await PGlite.create({ dataDir: directory, extensions })
  } catch (cause) {
    // PGlite's own words are of WebAssembly.
    const reason = (await isDiskFull(directory))
      ? 'its disk is full: make room there, some 100 MiB, and start again; the folder itself need not be damaged'
      : 'the folder is damaged or was made by another version; moving it away starts with an empty one'
    throw new Error(`the database in ${directory} cannot be opened: ${reason}`, { cause })
  }
}

/** What a first start writes is 40 MiB; it fails with a part of them. */
const ROOM_BYTES = 64 * 1024 ** 2

async function isDiskFull(directory: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize < ROOM_BYTES
}

/** Hands the one session to one holder at a time, in the order of asking. */
function createSingleSessionPool(client: pg.Client): SqlPool & MaintainedPool {
  const nameOf = createStatementNames()
  let tail: Promise<void> = Promise.resolve()
  let users = 0
  return {
    isBusy: () => users > 0,
    connect: async () => {
      const before = tail
      const { promise, resolve } = Promise.withResolvers<void>()
      tail = promise
      users++
      await before
      const free = () => {
        users--
        resolve()
      }
      // There is no other session to put in its place: whatever transaction it is in ends here.
      const release = (broken: boolean) => {
        if (broken) client.query('ROLLBACK').then(free, free)
        else free()
      }
      return yielding(createPgSession(client, nameOf, release))
    },
    end: async () => await tail,
  }
}

/**
 * PGlite answers without leaving the microtask queue: without a pause a run of queries starves timers
 * and sockets (2,000 reads in a row froze timers for 0.5–1 s).
 */
function yielding(session: SqlSession): SqlSession {
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve))
  return {
    query: (text, values) => session.query(text, values).finally(pause),
    queryOnce: (text, values) => session.queryOnce(text, values).finally(pause),
    script: (text) => session.script(text).finally(pause),
    release: session.release,
  }
}
