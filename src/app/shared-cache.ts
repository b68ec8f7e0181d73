// The cache that processes share, bound to the event log that keeps it right.

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
      : // While a release replaces another, each shares with its own kind.
        { ...sharedCache, prefix: `${sharedCache.prefix}${saltOf(mediaUrls)}:` },
  )
  return cache && openSharedLevel({ cache, changes: createChangeLog(database.db, relay), log })
}
