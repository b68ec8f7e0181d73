// The .env that catalogue services of this kind print, with real engines behind its names: nothing but
// values is filled in. S3_ENDPOINT comes from the environment, because this S3 is not that of AWS.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import sharp from 'sharp'
import { type RabbitmqServer, startRabbitmqServer } from '../../scripts/engines/rabbitmq.ts'
import { startRedisServer } from '../../scripts/engines/redis.ts'
import { openStorage } from '../../src/storage/open.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { describeWithRabbitmqServer } from '../support/rabbitmq.ts'
import { connectRedis, describeWithRedisServer } from '../support/redis.ts'
import { describeWithS3, newBucket } from '../support/s3.ts'
import {
  getProduct,
  makeDataFolder,
  postProduct,
  settled,
  startService,
} from '../support/service.ts'

const PASSWORD = 'p@ss:word/%1'

/** Under both names of a setting; the file has one of them, or neither. */
type Values = Readonly<Record<string, string>>

function describeOnAllOfIts(suite: () => void): void {
  describeOnPostgres('the documented .env', () =>
    describeWithRabbitmqServer('on RabbitMQ', () =>
      describeWithRedisServer('and Redis', () => describeWithS3('and S3', suite)),
    ),
  )
}

/** The file as it is, with these values behind its names. */
async function filledIn(name: string, values: Values): Promise<string> {
  const printed = await readFile(new URL(`../config/fixtures/${name}`, import.meta.url), 'utf8')
  return printed.replace(/^(\w+)=(.*)$/gm, (_, key: string, value: string) => {
    return `${key}=${values[key] ?? value}`
  })
}

describeOnAllOfIts(() => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let rabbitmq: RabbitmqServer
  before(async () => {
    const create = { width: 1_600, height: 900, channels: 3 as const, background: 'navy' }
    const picture = await sharp({ create }).jpeg().toBuffer()
    origin = stack.use(await startOrigin({ '/large.jpg': picture }))
    rabbitmq = stack.use(await startRabbitmqServer())
    await rabbitmq.ctl('change_password', 'guest', PASSWORD)
  })
  after(() => stack.disposeAsync())

  for (const [name, queue] of [
    ['documented.env', 'image_processing'],
    ['other-spelling.env', 'image_processing_queue'],
  ] as const) {
    test(`${name}: a posted picture is published, by way of all of its engines`, async () => {
      await using database = await postgresEngine.create()
      await using folder = await makeDataFolder({ empty: true })
      await using redis = await startRedisServer()
      await using tools = await connectRedis(redis.url)
      const printed = await filledIn(name, {})
      if (/^REDIS_PASSWORD=/m.test(printed)) await tools.configSet('requirepass', PASSWORD)
      const bucket = newBucket()
      await using _made = await openStorage(bucket)
      const { hostname, port, username, password, pathname } = new URL(database.url ?? '')
      const { accessKeyId = '', secretAccessKey = '' } = bucket.credentials ?? {}
      const secret = encodeURIComponent(PASSWORD)
      const values: Values = {
        DB_HOST: hostname,
        DB_PORT: port,
        DB_USER: username,
        DB_PASSWORD: password,
        DB_PASS: password,
        DB_NAME: pathname.slice(1),
        REDIS_HOST: '127.0.0.1',
        REDIS_PORT: String(redis.port),
        REDIS_ADDR: `127.0.0.1:${redis.port}`,
        REDIS_PASSWORD: PASSWORD,
        RABBITMQ_URL: `amqp://guest:${secret}@127.0.0.1:${rabbitmq.port}/`,
        S3_BUCKET_NAME: bucket.bucket,
        AWS_BUCKET_NAME: bucket.bucket,
        AWS_ACCESS_KEY: accessKeyId,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_KEY: secretAccessKey,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
      }
      await writeFile(join(folder.path, '.env'), await filledIn(name, values))

      const surroundings = {
        S3_ENDPOINT: bucket.endpoint ?? '',
        OUTBOUND_ALLOW: '127.0.0.1/32',
      }
      await using service = await startService(surroundings, { cwd: folder.path })
      const { id } = await postProduct(service, [`${origin.url}/large.jpg`])
      const product = await settled(service, id)
      assert.equal(product.processing_status, 'completed')
      const [url = ''] = product.compressed_product_images
      assert.ok(url.startsWith(`${bucket.endpoint}/${bucket.bucket}/`), url)
      const file = await fetch(url)
      assert.equal(file.headers.get('content-type'), 'image/jpeg')
      const { width, height } = await sharp(await file.bytes()).metadata()
      assert.deepEqual([width, height], [800, 450])

      assert.match(await rabbitmq.ctl('list_queues', 'name'), new RegExp(`^${queue}$`, 'm'))
      await eventually(async () => {
        // What is read when Redis is late is not kept there: another one, then.
        const another = await postProduct(service, [])
        await getProduct(service, another.id)
        assert.notDeepEqual(await tools.keys('vitrine:*:entry:*'), [])
      })
      const trouble = /"level":"(warn|error)".*"area":"(app|cache|database|queue|storage)"/
      assert.doesNotMatch(service.output(), trouble)
      assert.equal(await service.stop(), 0)
    })
  }
})
