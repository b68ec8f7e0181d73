// The composition root: opens what the configuration names, hands each part the slice that concerns
// it, and closes everything in the opposite order, also when the start fails half-way.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { waitForDatabase } from '../database/wait.ts'
import { createHealthServer, createServer } from '../http/server.ts'
import { defineImageJob } from '../images/image-job.ts'
import { openAnnouncer } from '../jobs/announcer.ts'
import { createHealth } from '../observability/health.ts'
import type { LoggerOf } from '../observability/logger.ts'
import { createAddressPolicy } from '../outbound/address-policy.ts'
import { openQueue } from '../queue/open.ts'
import { waitForStorage } from '../storage/wait.ts'
import { openCatalogue } from './catalogue.ts'
import { findFreePort } from './free-port.ts'
import { type ListenAddress, orExplain } from './listen.ts'
import { openPurgers } from './purgers.ts'
import { prepareSchema } from './schema.ts'
import { claimStore, tellOthers } from './store-mark.ts'

/** 2.5 s of the default 25 s: Kubernetes and load balancers that ask each second have noticed by then. */
const DRAINING_SHARE = 10

/** A running process of Vitrine. */
export interface Running {
  /** Where the API answers; undefined in a process that has none. */
  url: string | undefined
  /** Where the probes answer, on this machine. */
  healthUrl: string
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

async function start(starting: AsyncDisposableStack, options: ComposeOptions): Promise<Running> {
  const { config, logOf } = options
  const { role } = config
  const engines = await openEngines(starting, options)
  const { database, storage, queue } = engines
  options.signal.throwIfAborted()
  const address = await addressOf(config)
  const localUrl = `http://localhost:${address.port}`
  const publicUrl = config.server.publicUrl ?? localUrl
  const imageJob = defineImageJob(config.jobs)
  const policy = createAddressPolicy(config.outbound)
  const parts = { config, logOf, ...engines, policy, imageJob }

  const catalogue =
    role === 'worker' ? undefined : starting.use(await openCatalogue({ ...parts, publicUrl }))
  const health = createHealth({
    database: () => database.ping(),
    storage: () => storage.ping(),
    queue: () => queue.ping(),
    ...catalogue?.checks,
  })
  const { jobs: settings } = config
  starting.use(
    openAnnouncer({ database, queue, definitions: [imageJob], settings, log: logOf('jobs') }),
  )
  starting.use(openPurgers({ config, database, logOf }))
  // Loaded by who needs it only: a process that serves requests decodes no pictures.
  const worker =
    role === 'api'
      ? undefined
      : starting.use(await (await import('./picture-worker.ts')).openPictureWorker(parts))
  const http = { health, log: logOf('http') }
  const server = catalogue
    ? createServer({ ...http, ...catalogue, storage, publicUrl, ...apiSettings(config) })
    : createHealthServer(http)
  starting.defer(() => server.close())
  options.signal.throwIfAborted()
  await orExplain(server.listen({ host: address.host, port: address.port }), address)
  // Last: jobs that a start claims before it fails would be lost with their attempts.
  worker?.begin()

  const everything = starting.move()
  return {
    url: catalogue && publicUrl,
    healthUrl: `${localUrl}/health`,
    stop: async () => {
      health.setStopping()
      // Together: requests are finished while pictures are. The rest closes in turn after them, and who
      // asks a worker how it is gets an answer until then.
      await Promise.all([worker?.[Symbol.asyncDispose](), catalogue && server.close()])
      await everything.disposeAsync()
    },
  }
}

/** What every role needs. A start waits for the database and the storage, and goes on without a broker. */
async function openEngines(
  starting: AsyncDisposableStack,
  { config, logOf, signal }: ComposeOptions,
) {
  const { startTimeoutMs: timeoutMs } = config
  const log = logOf('app')
  const database = starting.use(
    await waitForDatabase(config.database, { timeoutMs, log: logOf('database'), signal }),
  )
  const { migrateOnStart } = config
  await prepareSchema(database, { migrateOnStart, timeoutMs, log: logOf('database'), signal })
  const storage = starting.use(
    await waitForStorage(config.storage, { timeoutMs, log: logOf('storage'), signal }),
  )
  await claimStore({ database, storage, kind: config.storage.kind })
  const others = await tellOthers({ database, storage })
  if (others) log.warn(others)
  const engine = config.queue.kind === 'postgres' ? { ...config.queue, database } : config.queue
  const queue = starting.use(await openQueue({ ...engine, log: logOf('queue') }))
  return { database, storage, queue }
}

function apiSettings({ server, events, database, shutdownTimeoutMs }: Config) {
  return {
    corsOrigins: server.corsOrigins,
    streams: { maxStreams: events.maxStreams },
    // The embedded database serves one process: there is no other that could take over.
    drainMs: database.engine === 'pglite' ? 0 : shutdownTimeoutMs / DRAINING_SHARE,
  }
}

async function addressOf({ role, server, worker }: Config): Promise<ListenAddress> {
  const { host } = server
  const own = role === 'worker' ? worker.port : server.port
  const address = { host, port: own, setting: role === 'worker' ? 'WORKER_PORT' : 'PORT' }
  return own === 0 ? { ...address, port: await orExplain(findFreePort(host), address) } : address
}
