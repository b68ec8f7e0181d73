// The composition root: opens what the configuration names, hands each part the slice that concerns
// it, and closes everything in the opposite order, also when the start fails half-way.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { waitForDatabase } from '../database/wait.ts'
import { openRelay } from '../events/relay.ts'
import { createServer } from '../http/server.ts'
import { defineImageJob } from '../images/image-job.ts'
import { createImages } from '../images/images.ts'
import { createMediaUrls } from '../images/media-urls.ts'
import { openAnnouncer } from '../jobs/announcer.ts'
import { createHealth } from '../observability/health.ts'
import type { LoggerOf } from '../observability/logger.ts'
import { createAddressPolicy } from '../outbound/address-policy.ts'
import { createProductSnapshots } from '../products/product-snapshots.ts'
import { createProducts } from '../products/products.ts'
import { openQueue } from '../queue/open.ts'
import { waitForStorage } from '../storage/wait.ts'
import { findFreePort } from './free-port.ts'
import { orExplain } from './listen.ts'
import { openPurgers } from './purgers.ts'
import { prepareSchema } from './schema.ts'
import { openSharedProducts } from './shared-cache.ts'
import { claimStore } from './store-mark.ts'

/** 2.5 s of the default 25 s: Kubernetes and load balancers that ask each second have noticed by then. */
const DRAINING_SHARE = 10

/** A running process of Vitrine. */
export interface Running {
  /** Where the API answers; undefined in a process that has none. */
  url: string | undefined
  /**
   * Not ready from now on, no new requests and no new work; resolves once what ran is finished or
   * given back, within `shutdownTimeoutMs`, and everything is closed.
   */
  stop(): Promise<void>
}

export interface ComposeOptions {
  config: Config
  logOf: LoggerOf
  /** Aborts a start that still waits for something. */
  signal: AbortSignal
}

/** Starts what the role asks for. Throws an Error for the operator; whatever was opened is closed again. */
export async function compose(options: ComposeOptions): Promise<Running> {
  const starting = new AsyncDisposableStack()
  try {
    return await start(starting, options)
  } catch (error) {
    // Of what cannot be closed, the process rids itself by ending; why it ends is what matters.
    const closed = starting.disposeAsync().catch(() => {})
    await Promise.race([closed, sleep(CLOSING_MS, undefined, { ref: false })])
    throw error
  }
}

/** On a failed start, for everything that had been opened. */
const CLOSING_MS = 5_000

async function start(
  starting: AsyncDisposableStack,
  { config, logOf, signal }: ComposeOptions,
): Promise<Running> {
  /** What has work of its own to finish. */
  const busy: AsyncDisposable[] = []
  const log = logOf('app')
  const database = starting.use(
    await waitForDatabase(config.database, {
      timeoutMs: config.startTimeoutMs,
      log: logOf('database'),
      signal,
    }),
  )
  await prepareSchema(database, config.migrateOnStart, (text) => log.info(text))
  const storage = starting.use(
    await waitForStorage(config.storage, {
      timeoutMs: config.startTimeoutMs,
      log: logOf('storage'),
      signal,
    }),
  )
  await claimStore({ database, storage, kind: config.storage.kind })
  const queueEngine =
    config.queue.kind === 'postgres' ? { ...config.queue, database } : config.queue
  const queue = starting.use(await openQueue({ ...queueEngine, log: logOf('queue') }))
  const relay = starting.use(openRelay({ database, log: logOf('events') }))
  const health = createHealth({
    database: () => database.ping(),
    storage: () => storage.ping(),
    queue: () => queue.ping(),
    events: () => relay.check(),
    cache: async () => {
      shared?.check()
      return { ...products.cacheFigures() }
    },
  })

  const { host } = config.server
  const port =
    config.server.port === 0
      ? await orExplain(findFreePort(host), { host, port: 0 })
      : config.server.port
  const publicUrl = config.server.publicUrl ?? `http://localhost:${port}`
  const mediaUrls = createMediaUrls({ storage, publicUrl })
  const policy = createAddressPolicy(config.outbound)
  const imageJob = defineImageJob(config.jobs)
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
  relay.subscribe(({ productId, version }) => products.invalidate(productId, version))

  starting.use(
    openAnnouncer({
      database,
      queue,
      definitions: [imageJob],
      settings: config.jobs,
      log: logOf('jobs'),
    }),
  )
  starting.use(openPurgers({ config, database, logOf }))
  if (config.role !== 'api') {
    // Loaded by who needs it only: a process that serves requests decodes no pictures.
    const { openPictureWorker } = await import('./picture-worker.ts')
    const parts = { config, logOf, database, queue, storage, policy, imageJob }
    busy.push(starting.use(await openPictureWorker(parts)))
  }
  if (config.role !== 'worker') {
    const images = createImages({
      database,
      mediaUrls,
      job: imageJob,
      onChanged: products.refresh,
    })
    const server = createServer({
      products,
      images,
      feed: relay.feed,
      snapshots: createProductSnapshots({ db: database.db, mediaUrls }),
      storage,
      health,
      log: logOf('http'),
      corsOrigins: config.server.corsOrigins,
      streams: { maxStreams: config.events.maxStreams },
      // The embedded database serves one process: there is no other that could take over.
      drainMs: config.database.engine === 'pglite' ? 0 : config.shutdownTimeoutMs / DRAINING_SHARE,
    })
    starting.defer(() => server.close())
    await orExplain(server.listen({ host, port }), { host, port })
    busy.push({ [Symbol.asyncDispose]: () => server.close() })
  }
  const everything = starting.move()
  return {
    url: config.role === 'worker' ? undefined : publicUrl,
    stop: async () => {
      health.setStopping()
      // Together: requests are finished while pictures are. The rest closes in turn after them.
      await Promise.all(busy.map((part) => part[Symbol.asyncDispose]()))
      await everything.disposeAsync()
    },
  }
}
