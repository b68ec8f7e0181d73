// A process that reads and writes a few products as fast as it can, through the read-through as it is
// composed, and reports what it was answered. Its arguments are a CacheNodeTask in JSON.

import pino from 'pino'
import type { RedisCacheOptions } from '../../src/cache/redis.ts'
import { createRedisCache } from '../../src/cache/redis.ts'
import { openSharedLevel } from '../../src/cache/shared-level.ts'
import { type DatabaseOptions, openDatabase } from '../../src/database/open.ts'
import { createChangeLog } from '../../src/events/changes.ts'
import { openRelay } from '../../src/events/relay.ts'
import type { Representation } from '../../src/products/product.ts'
import { createProducts } from '../../src/products/products.ts'
import { context, imageJob, mediaUrls } from './products.ts'

export interface CacheNodeTask {
  database: DatabaseOptions
  redis: RedisCacheOptions
  ids: string[]
  operations: number
  maxBytes: number
}

/** `[what, which product, version answered, begun, answered]`; times in milliseconds since 1970. */
export type Answer = ['read' | 'write', number, number, number, number]

const CONCURRENCY = 8
const WRITES = 0.1
const BATCH = 500

const task = JSON.parse(process.argv[2] ?? '') as CacheNodeTask
const log = pino({ level: 'silent' })
const now = () => performance.timeOrigin + performance.now()

await using database = await openDatabase(task.database)
await using relay = openRelay({ database, log })
await using shared = openSharedLevel({
  cache: createRedisCache(task.redis),
  changes: createChangeLog(database.db, relay),
  log,
})
const products = createProducts({
  database,
  mediaUrls,
  imageJob,
  checkUrl: () => undefined,
  cache: { maxBytes: task.maxBytes, maxStaleMs: 0, currentAsOf: relay.currentAsOf, shared },
})
relay.subscribe(({ productId, version }) => products.invalidate(productId, version))

let left = task.operations
let answers: Answer[] = []
const versionOf = ({ body }: Representation): number => JSON.parse(body.toString()).version
const flush = () => {
  process.send?.(answers)
  answers = []
}

async function work(): Promise<void> {
  while (left-- > 0) {
    const which = Math.floor(Math.random() * task.ids.length)
    const id = task.ids[which] ?? ''
    const isWrite = Math.random() < WRITES
    const begun = now()
    const answer = isWrite
      ? await products.patch(
          id,
          { product_price: 1 + Math.floor(Math.random() * 1e9) },
          { context },
        )
      : await products.read(id)
    answers.push([isWrite ? 'write' : 'read', which, versionOf(answer), begun, now()])
    if (answers.length >= BATCH) flush()
    // Hits are answered without a turn of the event loop, in which messages are heard.
    if (Math.random() < 0.1) await new Promise(setImmediate)
  }
}

await Promise.all(Array.from({ length: CONCURRENCY }, work))
flush()
process.disconnect?.()
