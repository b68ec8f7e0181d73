// The api's half of the composition: the use cases of the catalogue, what they keep in memory and share
// with other processes, and the log of changes that keeps it right.

import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { openRelay } from '../events/relay.ts'
import type { ServerOptions } from '../http/server.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import { createImages } from '../images/images.ts'
import { createMediaUrls } from '../images/media-urls.ts'
import type { Check } from '../observability/health.ts'
import type { LoggerOf } from '../observability/logger.ts'
import type { AddressPolicy } from '../outbound/address-policy.ts'
import { createProductSnapshots } from '../products/product-snapshots.ts'
import { createProducts } from '../products/products.ts'
import type { Storage } from '../storage/storage.ts'
import { openSharedProducts } from './shared-cache.ts'

export interface CatalogueOptions {
  config: Config
  logOf: LoggerOf
  database: Database
  storage: Storage
  policy: AddressPolicy
  imageJob: ImageJobDefinition
  publicUrl: string
}

export interface Catalogue
  extends AsyncDisposable,
    Pick<ServerOptions, 'products' | 'images' | 'feed' | 'snapshots'> {
  /** Of what it depends on besides the database and the storage. */
  checks: Readonly<Record<'cache' | 'events', Check>>
}

/** Goes on without a shared cache that cannot be reached. Throws an Error for the operator when that refuses. */
export async function openCatalogue(options: CatalogueOptions): Promise<Catalogue> {
  const { config, logOf, database, storage, policy, imageJob, publicUrl } = options
  await using starting = new AsyncDisposableStack()
  const relay = starting.use(openRelay({ database, log: logOf('events') }))
  const mediaUrls = createMediaUrls({ storage, publicUrl })
  const shared = await openSharedProducts(config, {
    database,
    relay,
    mediaUrls,
    log: logOf('cache'),
  })
  if (shared) starting.use(shared)
  const products = createProducts({
    database,
    mediaUrls,
    imageJob,
    checkUrl: policy.checkUrl,
    idempotencyKeepMs: config.idempotencyKeepMs,
    cache: { ...config.cache, currentAsOf: relay.currentAsOf, shared },
  })
  relay.subscribe(
    ({ productId, version }) => products.invalidate(productId, version),
    products.restart,
  )
  // Only now: what the log tells has to be dropped from the first moment of a connection on.
  await shared?.firstContact
  const everything = starting.move()
  return {
    products,
    images: createImages({ database, mediaUrls, job: imageJob, onChanged: products.refresh }),
    feed: relay.feed,
    snapshots: createProductSnapshots({ db: database.db, mediaUrls }),
    checks: {
      events: () => relay.check(),
      cache: async () => {
        await shared?.check()
        return { ...products.cacheFigures() }
      },
    },
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}
