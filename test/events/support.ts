// Writers and followers of the event log, for tests of its readers.

import { sql } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { Database, Tx } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { Scope } from '../../src/events/dispatch.ts'
import type { LoggedEvent } from '../../src/events/events.ts'
import type { EventFeed } from '../../src/events/feed.ts'
import type { Position } from '../../src/events/position.ts'
import { appendEvent } from '../support/append-event.ts'

export async function insertProduct(database: Database, userId = 'u'): Promise<string> {
  const id = uuidv7()
  await sql`INSERT INTO users (id) VALUES (${userId}) ON CONFLICT DO NOTHING`.execute(database.db)
  await sql`INSERT INTO products (id, user_id, product_name, product_price)
    VALUES (${id}, ${userId}, 'p', 1)`.execute(database.db)
  return id
}

/** A change of a product as every change is made: under its lock, with a version more and an event. */
export async function change(tx: Tx, productId: string, userId = 'u'): Promise<number> {
  const { rows } = await sql<{ version: number }>`
    UPDATE products SET version = version + 1 WHERE id = ${productId} RETURNING version`.execute(tx)
  const version = rows[0]?.version ?? 0
  await appendEvent(tx, {
    userId,
    productId,
    imageId: null,
    type: 'product.updated',
    data: { version },
  })
  return version
}

export interface Following extends AsyncDisposable {
  events: LoggedEvent[]
  lost: boolean
}

export interface FollowingOptions {
  start: Position
  /** Called between takes: how a slow consumer is slow. */
  pause?: () => Promise<void>
}

/** Collects what the feed yields until disposed of. */
export function followed(
  feed: EventFeed,
  scope: Scope,
  { start, pause }: FollowingOptions,
): Following {
  const leaving = new AbortController()
  const following = { events: [] as LoggedEvent[], lost: false }
  const run = async () => {
    for await (const taken of feed.follow(scope, { start, signal: leaving.signal })) {
      if (taken === 'lost') following.lost = true
      else following.events.push(...taken)
      await pause?.()
    }
  }
  const running = run()
  return Object.assign(following, {
    [Symbol.asyncDispose]: async () => {
      leaving.abort()
      await running
    },
  })
}

/** The same data through more sessions. */
export async function withSessions(
  { options }: { options: Parameters<typeof openDatabase>[0] },
  poolSize: number,
): Promise<Database> {
  return await openDatabase(options.engine === 'postgres' ? { ...options, poolSize } : options)
}
