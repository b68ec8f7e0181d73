// A session of PostgreSQL through `pg`, whichever engine is at the other end.

import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { SqlResult, SqlSession } from './sessions.ts'

/** Named statements live as long as their session. The shapes of our lists are some dozens; this is the fuse. */
const MAX_NAMED_STATEMENTS = 1_000
/** Longer than any migration, and the longest time that a timer can be set to. */
const NO_TIMEOUT_MS = 2 ** 31 - 1

/** The name of a statement's text; undefined when there are too many to have names. */
export type NameOf = (text: string) => string | undefined

/** A text has the same name in all sessions that share this. */
export function createStatementNames(): NameOf {
  const names = new Map<string, string>()
  return (text) => {
    let name = names.get(text)
    if (name === undefined && names.size < MAX_NAMED_STATEMENTS) {
      name = createHash('sha1').update(text).digest('base64url')
      names.set(text, name)
    }
    return name
  }
}

/** Named statements are planned once per session: 34k point reads/s against 18k. */
export function createPgSession(
  client: pg.ClientBase,
  nameOf: NameOf,
  release: SqlSession['release'],
): SqlSession {
  const run = async (query: pg.QueryConfig & { query_timeout?: number }): Promise<SqlResult> => {
    const { command, rowCount, rows } = await client.query(query)
    return { command, rowCount: rowCount ?? 0, rows }
  }
  return {
    query: (text, values) => {
      const name = nameOf(text)
      return run(
        name === undefined ? { text, values: [...values] } : { name, text, values: [...values] },
      )
    },
    queryOnce: (text, values) => run({ text, values: [...values], query_timeout: NO_TIMEOUT_MS }),
    // Without values `pg` uses the simple protocol, which takes many statements at once.
    script: async (text) => {
      await client.query({ text, query_timeout: NO_TIMEOUT_MS } as pg.QueryConfig)
    },
    release,
  }
}
