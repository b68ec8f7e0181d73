// The cache that processes share, bound to the event log that keeps it right.

import { sql } from 'kysely'
import { openSharedCache } from '../cache/open.ts'
import { openSharedLevel, type SharedLevel } from '../cache/shared-level.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { createChangeLog } from '../events/changes.ts'
import type { Relay } from '../events/relay.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import type { Logger } from '../observability/logger.ts'
import { saltOf } from '../products/product-document.ts'

interface Parts {
  database: Database
  relay: Relay
  mediaUrls: MediaUrls
  log: Logger
}

/** Undefined where none is configured. */
export async function openSharedProducts(
  { sharedCache }: Config,
  { database, relay, mediaUrls, log }: Parts,
): Promise<SharedLevel | undefined> {
  const cache = await openSharedCache(
    sharedCache.kind === 'none'
      ? sharedCache
      : { ...sharedCache, prefix: `${sharedCache.prefix}${await spaceOf(database, mediaUrls)}` },
  )
  return cache && openSharedLevel({ cache, changes: createChangeLog(database.db, relay), log })
}

/**
 * Databases keep apart by their marks, which only a copy has in common with what it was copied from. And while a
 * release replaces another, each shares with its own kind.
 */
async function spaceOf({ db }: Database, mediaUrls: MediaUrls): Promise<string> {
  const { rows } = await sql<{
    mark: string
  }>`SELECT left(mark::text, 8) AS mark FROM store`.execute(db)
  return `${rows[0]?.mark}:${saltOf(mediaUrls)}:`
}
