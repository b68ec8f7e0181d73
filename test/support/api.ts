// The HTTP server over a real catalogue: a database, a folder of files, the address policy. No worker:
// pictures stay queued.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { InjectOptions } from 'fastify'
import pino from 'pino'
import { openRelay } from '../../src/events/relay.ts'
import type { App } from '../../src/http/app.ts'
import type { StreamLimits } from '../../src/http/event-stream.ts'
import { createServer, type ServerTimeouts } from '../../src/http/server.ts'
import { createImages } from '../../src/images/images.ts'
import { createHealth, type Health } from '../../src/observability/health.ts'
import { createAddressPolicy } from '../../src/outbound/address-policy.ts'
import { createProductSnapshots } from '../../src/products/product-snapshots.ts'
import { createProducts } from '../../src/products/products.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { pgliteEngine, type TestDatabase, type TestEngine } from './database.ts'
import { watchDescribed } from './described.ts'
import { imageJob, mediaUrls } from './products.ts'

export type LogLine = Record<string, unknown>

export interface TestApi extends AsyncDisposable {
  app: App
  database: TestDatabase
  storage: Storage
  health: Health
  /** The folder that the storage is in; the one around it is the test's too. */
  folder: string
  /** All lines logged so far. */
  lines: LogLine[]
  /** Everything logged so far, as it was written. */
  logged(): string
}

export interface TestApiOptions {
  engine?: TestEngine
  timeouts?: Partial<ServerTimeouts>
  streams?: Partial<StreamLimits>
  corsOrigins?: readonly string[]
  drainMs?: number
  /** The address that clients use. */
  publicUrl?: string
  /** As if the files were in a bucket that everybody may read, below this address: reading one fails the test. */
  bucketUrl?: string
}

export async function openApi(options: TestApiOptions = {}): Promise<TestApi> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await (options.engine ?? pgliteEngine).create())
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-api-'))
  stack.defer(() => rm(parent, { recursive: true, force: true }))
  const folder = join(parent, 'objects')
  const storage = stack.use(await openStorage({ kind: 'filesystem', directory: folder }))
  const log = captureLog()
  const relay = stack.use(openRelay({ database: database.database, log: log.logger, pollMs: 100 }))
  const health = createHealth({
    database: () => database.database.ping(),
    storage: () => storage.ping(),
    cache: async () => ({ ...useCases.products.cacheFigures() }),
  })
  const useCases = createUseCases(database)
  stack.use(
    relay.subscribe(
      ({ productId, version }) => useCases.products.invalidate(productId, version),
      useCases.products.restart,
    ),
  )
  const app = createServer({
    ...useCases,
    feed: relay.feed,
    snapshots: createProductSnapshots({ db: database.database.db, mediaUrls }),
    storage: options.bucketUrl === undefined ? storage : inBucket(storage, options.bucketUrl),
    health,
    log: log.logger,
    ...(options.timeouts ? { timeouts: options.timeouts } : {}),
    ...(options.streams ? { streams: options.streams } : {}),
    ...(options.corsOrigins ? { corsOrigins: options.corsOrigins } : {}),
    ...(options.publicUrl ? { publicUrl: options.publicUrl } : {}),
    ...(options.drainMs ? { drainMs: options.drainMs } : {}),
  })
  // Every answer in every test is held against the published description.
  const undescribed = watchDescribed(app)
  stack.defer(() => assert.deepEqual([...undescribed], []))
  stack.defer(() => app.close())
  await app.ready()
  const owned = stack.move()
  return {
    app,
    database,
    storage,
    health,
    folder,
    lines: log.lines,
    logged: log.logged,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function inBucket(storage: Storage, urlPrefix: string): Storage {
  const open = () => assert.fail('a file of the bucket was read')
  return { ...storage, urlPrefix, open }
}

function createUseCases({ database }: TestDatabase) {
  const policy = createAddressPolicy({
    allow: [],
    ports: [
      { from: 80, to: 80 },
      { from: 443, to: 443 },
      { from: 1024, to: 65_535 },
    ],
  })
  const products = createProducts({
    database,
    mediaUrls,
    imageJob,
    checkUrl: policy.checkUrl,
    cache: { maxBytes: 1_000_000, maxStaleMs: 0, currentAsOf: () => performance.now() },
  })
  const images = createImages({
    database,
    mediaUrls,
    job: imageJob,
    onChanged: (productId) => products.refresh(productId),
  })
  return { products, images }
}

function captureLog() {
  const lines: LogLine[] = []
  let written = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      written += chunk
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const logger = pino(
    { level: 'debug', base: null, formatters: { level: (label) => ({ level: label }) } },
    destination,
  )
  return { logger, lines, logged: () => written }
}

/** The legal product that the malformed ones differ from. */
export const sample = {
  user_id: '1234-5678-9012',
  product_name: 'Sample Product',
  product_description: 'A test product.',
  product_price: 100,
  product_images: ['https://example.com/image1.jpg'],
}

/** POSTs a product as it is: an object as JSON, text and bytes untouched. */
export function post(
  app: App,
  payload: object | string | Buffer,
  headers: Record<string, string> = {},
) {
  const options: InjectOptions = {
    method: 'POST',
    url: '/api/v1/products',
    headers: { 'content-type': 'application/json', ...headers },
    payload:
      typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
  }
  return app.inject(options)
}

/** Sends bytes down a connection and reads until the server closes it. */
export async function raw(port: number, ...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  // A server that refuses closes before it has read everything.
  socket.on('error', () => {})
  for (const piece of pieces) socket.write(piece)
  return await text(socket)
}

/** Listens on a free port. */
export async function listen(app: App): Promise<number> {
  return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
}
