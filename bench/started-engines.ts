// The engines that benches run on. PostgreSQL is a server that exists (`postgres.ts`); the others are
// started for a bench, in folders and on ports of their own, and end with it.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { isKafkaInstalled, VERSION as KAFKA, startKafkaServer } from '../scripts/engines/kafka.ts'
import { isRabbitmqInstalled, startRabbitmqServer } from '../scripts/engines/rabbitmq.ts'
import { isRedisInstalled, startRedisServer } from '../scripts/engines/redis.ts'
import {
  isVersitygwInstalled,
  startVersitygw,
  VERSION as VERSITYGW,
} from '../scripts/engines/versitygw.ts'
import { newBucket, settingsOf } from '../test/support/s3.ts'
import { hasPostgres, POSTGRES_MISSING } from './postgres.ts'

export const engines = ['postgres', 'rabbitmq', 'kafka', 'redis', 's3'] as const
export type Engine = (typeof engines)[number]

/** Why there is none; undefined where there is one. */
export function whyMissing(engine: Engine): string | undefined {
  switch (engine) {
    case 'postgres':
      return hasPostgres ? undefined : POSTGRES_MISSING
    case 'rabbitmq':
      return isRabbitmqInstalled ? undefined : 'no RabbitMQ is installed'
    case 'kafka':
      return isKafkaInstalled() ? undefined : 'no Kafka is installed: .ci/run fetches one'
    case 'redis':
      return isRedisInstalled ? undefined : 'no Redis is installed'
    case 's3':
      return isVersitygwInstalled() ? undefined : 'no versitygw is installed: .ci/run builds one'
  }
}

export interface StartedEngine extends AsyncDisposable {
  /** With its version, as figures are told with it. */
  name: string
  /** What the program is told to use it. */
  settings: Readonly<Record<string, string>>
}

export async function startRabbitmq(): Promise<StartedEngine> {
  await using starting = new AsyncDisposableStack()
  const server = starting.use(await startRabbitmqServer())
  const version = (await server.ctl('version')).trim()
  const started = starting.move()
  return {
    name: `RabbitMQ ${version}`,
    settings: { RABBITMQ_URL: server.url },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

export async function startKafka(): Promise<StartedEngine> {
  const server = await startKafkaServer()
  return {
    name: `Kafka ${KAFKA}`,
    settings: { KAFKA_BROKERS: server.address },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export async function startRedis(): Promise<StartedEngine> {
  const { stdout } = await promisify(execFile)('redis-server', ['--version'])
  const server = await startRedisServer()
  return {
    name: `Redis ${/\bv=(\S+)/.exec(stdout)?.[1] ?? ''}`.trim(),
    settings: { CACHE_URL: server.url },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Its settings name a bucket that nobody else uses. */
export async function startS3(): Promise<StartedEngine> {
  const server = await startVersitygw()
  return {
    name: `versitygw ${VERSITYGW}`,
    settings: settingsOf(newBucket(server.url)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
