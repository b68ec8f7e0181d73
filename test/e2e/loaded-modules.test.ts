// What a process does not use it does not load: clients of engines cost memory and time at every start.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { describeOnKafka, kafkaBrokers, newTopology } from '../support/kafka.ts'
import { connectBroker, describeOnRabbitmq, rabbitmqUrl } from '../support/rabbitmq.ts'
import { describeOnRedis, redisUrl } from '../support/redis.ts'
import { describeWithS3, newBucket, settingsOf } from '../support/s3.ts'
import { type Environment, makeDataFolder, startService } from '../support/service.ts'

const lister = new URL('../support/list-modules.ts', import.meta.url)
const clients = ['@aws-sdk', 'rabbitmq-client', '@platformatic/kafka', 'redis', '@redis', 'ioredis']

/** The packages that a service has loaded once it is ready. */
async function packagesOf(environment: Environment): Promise<Set<string>> {
  await using folder = await makeDataFolder()
  const MODULES_FILE = join(folder.path, 'modules')
  const NODE_OPTIONS = `--import=${lister.href}`
  const env = { DATA_DIR: folder.path, NODE_OPTIONS, MODULES_FILE, ...environment }
  await using _service = await startService(env)
  const urls = (await readFile(MODULES_FILE, 'utf8')).split('\n')
  const packages = urls.map((url) => /.*\/node_modules\/(@[^/]+\/[^/]+|[^/]+)/.exec(url)?.[1])
  return new Set(packages.filter((name) => name !== undefined))
}

function clientsIn(packages: Set<string>): string[] {
  const isIn = (client: string) =>
    [...packages].some((name) => name === client || name.startsWith(`${client}/`))
  return clients.filter(isIn)
}

describe('an embedded start', () => {
  test('loads no client of an engine', async () => {
    const packages = await packagesOf({})
    assert.ok(packages.has('@electric-sql/pglite') && packages.has('fastify'))
    assert.deepEqual(clientsIn(packages), [])
  })
})

describeOnPostgres('a start of the api alone', () => {
  test('loads no client of an engine either, nor what decodes pictures', async () => {
    await using database = await postgresEngine.create()
    const packages = await packagesOf({ DATABASE_URL: database.url ?? '', ROLE: 'api' })
    assert.deepEqual(clientsIn(packages), [])
    for (const name of ['sharp', '@electric-sql/pglite']) assert.ok(!packages.has(name), name)
  })
})

describeWithS3('a start with S3', () => {
  test('loads its client, and no other', async () => {
    assert.deepEqual(clientsIn(await packagesOf(settingsOf(newBucket()))), ['@aws-sdk'])
  })
})

describeOnRabbitmq('a start with RabbitMQ', () => {
  test('loads its client, and no other', async () => {
    await using broker = await connectBroker()
    const env = { RABBITMQ_URL: rabbitmqUrl, RABBITMQ_IMAGE_QUEUE: broker.queue() }
    assert.deepEqual(clientsIn(await packagesOf(env)), ['rabbitmq-client'])
  })
})

describeOnPostgres('a start of a worker alone', () => {
  test('loads what fetches pictures, and no client of an engine', async () => {
    await using database = await postgresEngine.create()
    // The products that Redis would hold are read by others.
    const env = { DATABASE_URL: database.url ?? '', CACHE_URL: 'redis://127.0.0.1:9' }
    const packages = await packagesOf({ ...env, ROLE: 'worker' })
    assert.deepEqual(clientsIn(packages), [])
    assert.ok(packages.has('undici'))
  })
})

describeOnKafka('a start with Kafka', () => {
  test('loads its client, and no other', async () => {
    const { topic, group } = newTopology()
    const env = {
      KAFKA_BROKERS: kafkaBrokers,
      KAFKA_IMAGE_TOPIC: topic,
      KAFKA_GROUP: group,
      KAFKA_PARTITIONS: '1',
    }
    assert.deepEqual(clientsIn(await packagesOf(env)), ['@platformatic/kafka'])
  })
})

describeOnRedis('a start with Redis', () => {
  test('loads its client, and no other', async () => {
    const env = { CACHE_URL: redisUrl, CACHE_PREFIX: `vitrine-test-${process.pid}:` }
    assert.deepEqual(clientsIn(await packagesOf(env)), ['redis', '@redis'])
  })
})
