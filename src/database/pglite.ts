// The embedded database: PostgreSQL in WebAssembly, one session, files in a folder. It knows no
// statement timeouts and never calls fsync: it survives `kill -9`, not a power cut.

import { PGlite } from '@electric-sql/pglite'
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm'
import type { Database } from './database.ts'
import { createLocalSignals } from './local-signals.ts'
import { claimFolder } from './pglite-folder.ts'
import {
  type MaintainedPool,
  type MaintenanceOptions,
  startMaintenance,
} from './pglite-maintenance.ts'
import {
  createDatabase,
  type SqlPool,
  type SqlSession,
  type StatementObserver,
} from './sessions.ts'
import { parsers } from './types.ts'

export interface PgliteOptions {
  /** A folder, or undefined for a database in memory. */
  directory: string | undefined
  maintenance?: MaintenanceOptions
  onStatement?: StatementObserver
}

/** Throws an Error for the operator when the folder is in use by another process or cannot be opened. */
export async function openPglite(options: PgliteOptions): Promise<Database> {
  const { directory } = options
  await using acquired = new AsyncDisposableStack()
  if (directory !== undefined) acquired.use(await claimFolder(directory, initialise))
  const pglite = acquired.adopt(await start(directory), (db) => db.close())
  const pool = createSingleSessionPool(pglite)
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

async function initialise(directory: string): Promise<void> {
  await (await start(directory)).close()
}

async function start(directory: string | undefined): Promise<PGlite> {
  const pglite = await create(directory)
  pglite.parsers = { ...parsers }
  // Values arrive as the text that PostgreSQL reads (parameters.ts).
  for (const type of Object.keys(pglite.serializers)) pglite.serializers[type] = String
  await pglite.exec(`SET timezone TO 'UTC'`)
  return pglite
}

async function create(directory: string | undefined): Promise<PGlite> {
  const extensions = { pg_trgm }
  if (directory === undefined) return await PGlite.create({ extensions })
  try {
    return await PGlite.create({ dataDir: directory, extensions })
  } catch (cause) {
    // PGlite's own words are of WebAssembly.
    throw new Error(
      `the database in ${directory} cannot be opened: the disk is full, or the folder is damaged or was made by another version; moving it away starts with an empty one`,
      { cause },
    )
  }
}

/** Hands the one session to one holder at a time, in the order of asking. */
function createSingleSessionPool(pglite: PGlite): SqlPool & MaintainedPool {
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
      return createSession(pglite, () => {
        users--
        resolve()
      })
    },
    end: async () => await tail,
  }
}

function createSession(pglite: PGlite, free: () => void): SqlSession {
  const query: SqlSession['query'] = async (text, values) => {
    try {
      const { command, rowCount, rows } = await pglite.query(text, [...values])
      return { command: command ?? '', rowCount: rowCount ?? 0, rows }
    } finally {
      await yieldToTimers()
    }
  }
  return {
    query,
    queryOnce: query,
    script: async (text) => {
      try {
        await pglite.exec(text)
      } finally {
        await yieldToTimers()
      }
    },
    // There is no other session to put in its place: whatever transaction it is in ends here.
    release: (broken) => {
      if (broken) pglite.exec('ROLLBACK').then(free, free)
      else free()
    },
  }
}

/**
 * PGlite's promises resolve without leaving the microtask queue: without this, a run of queries
 * starves timers and sockets (2,000 reads in a row froze timers for 0.5–1 s).
 */
function yieldToTimers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
