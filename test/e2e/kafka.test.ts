// Pictures through Kafka: requests here, pictures there, a broker between them that may be killed.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type KafkaServer, kafkaUser, startKafkaServer } from '../../scripts/engines/kafka.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Broker, connectBroker, describeWithKafkaServer } from '../support/kafka.ts'
import { type Origin, startOrigin, status } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import {
  type Environment,
  getProduct,
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  startService,
} from '../support/service.ts'

const TOPIC = 'pictures'

interface QueueHealth {
  status: string
  details: { lag: number; listeners: number; dead_letters: number }
}

describeOnPostgres('pictures through Kafka', () => {
  describeWithKafkaServer('with api and worker as processes of their own', () => {
    const stack = new AsyncDisposableStack()
    let origin: Origin
    let server: KafkaServer
    let tools: Broker
    let api: Service
    let worker: Service
    let picture: Buffer
    before(async () => {
      picture = await jpeg(200, 100, 'teal')
      origin = stack.use(await startOrigin({}))
      server = stack.use(await startKafkaServer())
      const database = stack.use(await postgresEngine.create())
      const { path } = stack.use(await makeDataFolder())
      const environment: Environment = {
        DATABASE_URL: database.url ?? '',
        DATA_DIR: path,
        OUTBOUND_ALLOW: '127.0.0.1/32',
        KAFKA_BROKERS: `kafka://127.0.0.1:${server.saslPort}`,
        KAFKA_SASL_USERNAME: kafkaUser.username,
        KAFKA_SASL_PASSWORD: kafkaUser.password,
        KAFKA_IMAGE_TOPIC: TOPIC,
        JOB_RING_AGAIN: '2s',
        JOB_MAX_ATTEMPTS: '1',
        LOG_LEVEL: 'debug',
      }
      api = stack.use(await startService({ ...environment, ROLE: 'api' }))
      worker = stack.use(await startService({ ...environment, ROLE: 'worker' }))
      tools = stack.use(await connectBroker(server.address))
    })
    after(() => stack.disposeAsync())

    /** Addresses of so many pictures of their own, each of which takes the origin a moment. */
    const addresses = (name: string, count: number, delayMs = 0) =>
      Array.from({ length: count }, (_, n) => {
        origin.routes[`/${name}-${n}.jpg`] = (_request, response) =>
          void setTimeout(() => response.end(picture), delayMs)
        return `${origin.url}/${name}-${n}.jpg`
      })
    const queueHealth = async () => {
      const response = await fetch(`${api.url}/health/queue`)
      return { code: response.status, ...((await response.json()) as QueueHealth) }
    }
    const askedOnce = (name: string, count: number) => {
      for (let n = 0; n < count; n++) assert.equal(origin.count(`/${name}-${n}.jpg`), 1)
    }

    test('what is posted to one is made by the other, and the health of the queue tells of it', async () => {
      const { id } = await postProduct(api, addresses('first', 20))
      const { images, processing_status } = await settled(api, id)
      assert.equal(processing_status, 'completed')
      assert.deepEqual(new Set(images.map(({ attempts }) => attempts)), new Set([1]))
      askedOnce('first', 20)
      await eventually(async () => {
        const { code, status, details } = await queueHealth()
        assert.deepEqual([code, status], [200, 'healthy'])
        assert.deepEqual(details, { lag: 0, listeners: 1, dead_letters: 0 })
      })
    })

    test('G1, G7: a broker that is killed in mid-run loses nothing, and writes go on without it', async () => {
      const before = await postProduct(api, addresses('before', 20, 300))
      await eventually(() => assert.ok(origin.count('/before-0.jpg') > 0))
      await server.kill()
      await eventually(async () => assert.equal((await queueHealth()).code, 503))
      const during = await postProduct(api, addresses('during', 20))
      assert.equal((await getProduct(api, during.id)).processing_status, 'processing')
      await server.start()
      for (const { id } of [before, during, await postProduct(api, addresses('after', 20))])
        assert.equal((await settled(api, id)).processing_status, 'completed')
      for (const name of ['before', 'during', 'after']) askedOnce(name, 20)
      await eventually(async () => assert.equal((await queueHealth()).code, 200))
    })

    test('a dead job lies in the dead topic; put back, it runs again with fresh attempts, once', async () => {
      origin.routes['/dead.jpg'] = status(404)
      const { id } = await postProduct(api, [`${origin.url}/dead.jpg`])
      const failed = await settled(api, id)
      assert.equal(failed.images[0]!.status, 'failed')
      const letter = await eventually(async () => {
        const [record] = await tools.records(`${TOPIC}.dead`)
        return JSON.parse(String(record?.value))
      })
      const { code, stage, attempts, product_id, image_id, job } = letter
      assert.deepEqual(
        { code, stage, attempts, product_id, image_id },
        {
          code: 'origin_not_found',
          stage: 'download',
          attempts: 1,
          product_id: id,
          image_id: failed.images[0]!.id,
        },
      )

      await tools.send(TOPIC, { version: 1, job })
      await tools.send(TOPIC, { version: 1, job, death: job })
      origin.routes['/dead.jpg'] = picture
      await tools.send(TOPIC, letter)
      await eventually(async () =>
        assert.equal((await getProduct(api, id)).images[0]!.status, 'ready'),
      )
      assert.equal((await getProduct(api, id)).images[0]!.attempts, 1)
      assert.equal(origin.count('/dead.jpg'), 2)

      await tools.send(TOPIC, letter)
      await tools.send(TOPIC, 'garbage')
      await eventually(async () => {
        const { lag, dead_letters } = (await queueHealth()).details
        assert.deepEqual({ lag, dead_letters }, { lag: 0, dead_letters: 2 })
      })
      assert.equal((await getProduct(api, id)).images[0]!.status, 'ready')
      assert.equal(origin.count('/dead.jpg'), 2)
      await eventually(() =>
        assert.match(worker.output(), /"reason":"not_json".*moved to pictures\.dead/),
      )
    })

    test('nothing that was written shows the password, and a stop is clean', async () => {
      assert.equal(await worker.stop(), 0)
      assert.equal(await api.stop(), 0)
      for (const { output } of [api, worker]) assert.ok(!output().includes(kafkaUser.password))
      assert.equal(worker.output().match(/Kafka at .* does not work; trying again/g)?.length, 1)
      assert.equal(worker.output().match(/Kafka at .* works again/g)?.length, 1)
    })
  })
})
