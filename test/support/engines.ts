// All engines of a production set behind gates of the test's own: the servers that the environment names,
// each with a database, a queue, a prefix and a bucket that nobody else uses.

import { randomUUID } from 'node:crypto'
import { describeOnPostgres, postgresEngine, type TestDatabase } from './database.ts'
import { createGate, type Gate } from './gate.ts'
import { connectBroker, describeOnRabbitmq, rabbitmqUrl } from './rabbitmq.ts'
import { describeOnRedis, redisUrl } from './redis.ts'
import { describeWithS3, newBucket, settingsOf } from './s3.ts'
import type { Environment } from './service.ts'

export const engineNames = ['database', 'queue', 'cache', 'storage'] as const
export type EngineName = (typeof engineNames)[number]

export interface Engines extends AsyncDisposable {
  /** What a process is told to use them. */
  environment: Environment
  database: TestDatabase
  /** All closed at first. */
  gates: Readonly<Record<EngineName, Gate>>
}

/** Says what is missing, and fails instead where it is required (CI). */
export function describeOnAllEngines(name: string, suite: () => void): void {
  describeOnPostgres(name, () =>
    describeOnRabbitmq('and RabbitMQ', () =>
      describeOnRedis('and Redis', () => describeWithS3('and S3', suite)),
    ),
  )
}

export async function openEngines(): Promise<Engines> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await postgresEngine.create())
  const broker = stack.use(await connectBroker())
  const bucket = newBucket()
  const through = async (url: string, usualPort: number) => {
    const target = new URL(url)
    const gate = stack.use(await createGate(Number(target.port || usualPort)))
    // Of schemes that it does not know a URL changes the port, but not the host.
    target.port = String(gate.port)
    return { gate, url: target.href.replace('localhost', '127.0.0.1') }
  }
  const ways = {
    database: await through(database.url ?? '', 5432),
    queue: await through(rabbitmqUrl, 5672),
    cache: await through(redisUrl, 6379),
    storage: await through(bucket.endpoint ?? '', 80),
  }
  const owned = stack.move()
  return {
    database,
    environment: {
      ...settingsOf(bucket),
      DATABASE_URL: ways.database.url,
      RABBITMQ_URL: ways.queue.url,
      RABBITMQ_IMAGE_QUEUE: broker.queue(),
      CACHE_URL: ways.cache.url,
      CACHE_PREFIX: `vitrine-test-${randomUUID()}:`,
      S3_ENDPOINT: ways.storage.url.replace(/\/$/, ''),
    },
    gates: {
      database: ways.database.gate,
      queue: ways.queue.gate,
      cache: ways.cache.gate,
      storage: ways.storage.gate,
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
