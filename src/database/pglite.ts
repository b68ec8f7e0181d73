// The embedded database: PostgreSQL in WebAssembly, one session, files in a folder.

import { PGlite } from '@electric-sql/pglite'
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm'
import type { Database } from './database.ts'
import { createLocalSignals } from './local-signals.ts'
import { createDatabase, type SqlPool, type SqlSession } from './sessions.ts'
import { parsers } from './types.ts'

export interface PgliteOptions {
  /** A folder, or undefined for a database in memory. */
  directory: string | undefined
}

export async function openPglite({ directory }: PgliteOptions): Promise<Database> {
  const pglite = await PGlite.create({
    ...(directory === undefined ? {} : { dataDir: directory }),
    extensions: { pg_trgm },
    parsers: { ...parsers },
  })
  await pglite.exec(`SET timezone TO 'UTC'`)
  return createDatabase({
    engine: 'pglite',
    pool: createSingleSessionPool(pglite),
    signals: createLocalSignals(),
    close: async () => {},
  })
}

/** Hands the one session to one holder at a time, in the order of asking. */
function createSingleSessionPool(pglite: PGlite): SqlPool {
  let tail: Promise<void> = Promise.resolve()
  let ended = false
  return {
    connect: async () => {
      if (ended) throw new Error('the database is closed')
      const before = tail
      const { promise, resolve } = Promise.withResolvers<void>()
      tail = promise
      await before
      return createSession(pglite, resolve)
    },
    end: async () => {
      ended = true
      await tail
      await pglite.close()
    },
  }
}

function createSession(pglite: PGlite, free: () => void): SqlSession {
  return {
    query: async (text, values) => {
      try {
        const { rows, affectedRows } = await pglite.query(text, [...values])
        return {
          command: text.trimStart().slice(0, 8).toUpperCase().split(/\s/)[0] ?? '',
          rowCount: affectedRows ?? 0,
          rows,
        }
      } finally {
        // PGlite's promises resolve without leaving the microtask queue: without this, a run of
        // queries starves timers and sockets (2,000 reads in a row froze timers for 0.5–1 s).
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    },
    release: free,
  }
}
