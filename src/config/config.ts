// Settings in, one frozen Config out. Nothing else in the program reads the environment or these
// files, and nothing below app/ knows this type: everybody is handed the slice that concerns him.

import { availableParallelism } from 'node:os'
import { resolve as resolvePath } from 'node:path'
import { chooseSharedCache, type SharedCacheConfig } from './cache-config.ts'
import { ConfigError } from './config-error.ts'
import { chooseDatabase, type DatabaseConfig } from './database-config.ts'
import { type EffectiveSetting, effectiveSettings } from './effective-settings.ts'
import { chooseQueue, type QueueConfig } from './queue-config.ts'
import { resolve } from './resolve.ts'
import { brokenRules } from './rules.ts'
import type { SettingName, Values } from './settings.ts'
import { type Overrides, readSources, type Variables } from './sources.ts'
import { chooseStorage, type StorageConfig } from './storage-config.ts'

/** Times in milliseconds, sizes in bytes, paths absolute. */
export interface Config {
  readonly role: Values['ROLE']
  readonly dataDir: string
  readonly server: {
    readonly host: string
    /** 0: any free port. */
    readonly port: number
    /** Without a slash at its end. Undefined means `http://localhost:<the port listened on>`, when `port` is 0. */
    readonly publicUrl: string | undefined
    /** Origins of web pages, or `*` alone. */
    readonly corsOrigins: readonly string[]
  }
  readonly log: {
    readonly level: Values['LOG_LEVEL']
    readonly levels: NonNullable<Values['LOG_LEVELS']>
  }
  readonly database: DatabaseConfig
  readonly migrateOnStart: boolean
  readonly startTimeoutMs: number
  readonly shutdownTimeoutMs: number
  readonly idempotencyKeepMs: number
  readonly jobs: {
    readonly maxAttempts: number
    readonly timeoutMs: number
    readonly leaseMs: number
    readonly heartbeatMs: number
    readonly ringAgainMs: number
    readonly window: number
    readonly maxAgeMs: number
    readonly keepDoneMs: number
  }
  readonly worker: {
    /** Of the health of a process that has no API. 0: any free one. */
    readonly port: number
    readonly concurrency: number
    readonly perHost: number
    readonly renderProcesses: number
  }
  readonly outbound: {
    /** Networks in CIDR notation. */
    readonly allow: readonly string[]
    /** Both ends inclusive. */
    readonly ports: Values['OUTBOUND_PORTS']
    readonly connectTimeoutMs: number
    readonly timeoutMs: number
    readonly maxBytes: number
    readonly maxRedirects: number
  }
  readonly pictures: {
    readonly maxPixels: number
    readonly maxSide: number
    readonly maxFrames: number
    readonly maxDecodeBytes: number
    readonly childMemoryBytes: number
    readonly renderTimeoutMs: number
  }
  readonly cache: { readonly maxStaleMs: number; readonly maxBytes: number }
  readonly events: { readonly keepMs: number; readonly maxStreams: number }
  readonly storage: StorageConfig
  readonly queue: QueueConfig
  readonly sharedCache: SharedCacheConfig
}

export interface LoadOptions {
  /** Settings from the command line, by name: `{ ROLE: 'worker' }`. They beat every other source. */
  overrides?: Overrides
  env?: Variables
  /** The folder of `.env` and `config.yaml`, and the one that relative paths start from. */
  cwd?: string
  processors?: number
}

export interface LoadedConfig {
  config: Config
  /** Sentences for the operator: names without effect, probable typing errors. */
  warnings: readonly string[]
  /** What took effect and where it came from, without secrets. */
  settings: readonly EffectiveSetting[]
}

/** Reads all sources of settings. Throws one ConfigError that tells every mistake. */
export function loadConfig({
  overrides = {},
  env = process.env,
  cwd = process.cwd(),
  processors = availableParallelism(),
}: LoadOptions = {}): LoadedConfig {
  const sources = readSources({ overrides, env, cwd })
  const resolved = resolve(sources)
  const dataDir = resolvePath(cwd, resolved.values.DATA_DIR)
  const database = chooseDatabase(resolved, { cwd, dataDir })
  const storage = chooseStorage(resolved, dataDir)
  const queue = chooseQueue(resolved, cwd)
  const sharedCache = chooseSharedCache(resolved, cwd)

  const choices = [database, storage, queue, sharedCache]
  const warnings = [sources, ...choices].flatMap((step) => step.warnings)
  const mistakes = [
    ...[sources, resolved, ...choices].flatMap((step) => step.mistakes),
    ...brokenRules(resolved, database.config.engine),
  ]
  if (mistakes.length > 0) throw new ConfigError(mistakes, warnings)

  const engines = {
    database: database.config,
    storage: storage.config,
    queue: queue.config,
    sharedCache: sharedCache.config,
  }
  const config = deepFreeze(buildConfig(resolved.values, { ...engines, dataDir, processors }))
  const derived = {
    ...derivedDefaults(config),
    ...database.derived,
    ...storage.derived,
    ...queue.derived,
    ...sharedCache.derived,
  }
  return { config, warnings, settings: effectiveSettings(resolved, derived) }
}

interface Surroundings {
  database: DatabaseConfig
  storage: StorageConfig
  queue: QueueConfig
  sharedCache: SharedCacheConfig
  dataDir: string
  processors: number
}

function buildConfig(values: Values, surroundings: Surroundings): Config {
  const { database, storage, queue, sharedCache, dataDir, processors } = surroundings
  const { PORT: port } = values
  const localUrl = port === 0 ? undefined : `http://localhost:${port}`
  return {
    role: values.ROLE,
    dataDir,
    server: {
      host: values.HOST ?? (database.engine === 'pglite' ? '127.0.0.1' : '0.0.0.0'),
      port,
      publicUrl: values.PUBLIC_URL ?? localUrl,
      corsOrigins: values.CORS_ORIGINS ?? [],
    },
    log: { level: values.LOG_LEVEL, levels: values.LOG_LEVELS ?? {} },
    database,
    migrateOnStart: values.MIGRATE_ON_START,
    startTimeoutMs: values.START_TIMEOUT,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
    idempotencyKeepMs: values.IDEMPOTENCY_KEEP,
    jobs: {
      maxAttempts: values.JOB_MAX_ATTEMPTS,
      timeoutMs: values.JOB_TIMEOUT,
      leaseMs: values.JOB_LEASE,
      heartbeatMs: values.JOB_HEARTBEAT,
      ringAgainMs: values.JOB_RING_AGAIN,
      window: values.JOB_WINDOW,
      maxAgeMs: values.JOB_MAX_AGE,
      keepDoneMs: values.JOBS_KEEP_DONE,
    },
    worker: {
      port: values.WORKER_PORT,
      concurrency: values.WORKER_CONCURRENCY,
      perHost: values.WORKER_PER_HOST,
      renderProcesses: values.WORKER_RENDER_PROCESSES ?? processors,
    },
    outbound: {
      allow: values.OUTBOUND_ALLOW ?? [],
      ports: values.OUTBOUND_PORTS,
      connectTimeoutMs: values.OUTBOUND_CONNECT_TIMEOUT,
      timeoutMs: values.OUTBOUND_TIMEOUT,
      maxBytes: values.OUTBOUND_MAX_SIZE,
      maxRedirects: values.OUTBOUND_MAX_REDIRECTS,
    },
    pictures: {
      maxPixels: values.PICTURE_MAX_PIXELS,
      maxSide: values.PICTURE_MAX_SIDE,
      maxFrames: values.PICTURE_MAX_FRAMES,
      maxDecodeBytes: values.PICTURE_DECODE_MEMORY,
      childMemoryBytes: values.PICTURE_CHILD_MEMORY,
      renderTimeoutMs: values.PICTURE_RENDER_TIMEOUT,
    },
    cache: { maxStaleMs: values.CACHE_MAX_STALE, maxBytes: values.CACHE_SIZE },
    events: { keepMs: values.EVENTS_KEEP, maxStreams: values.EVENTS_MAX_STREAMS },
    storage,
    queue,
    sharedCache,
  }
}

/** The defaults that depend on the surroundings, as they came out. */
function derivedDefaults({ server, worker }: Config): Partial<Record<SettingName, string>> {
  return {
    HOST: server.host,
    PUBLIC_URL: server.publicUrl ?? 'http://localhost:<port>',
    WORKER_RENDER_PROCESSES: String(worker.renderProcesses),
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member)
  }
  return Object.freeze(value)
}
