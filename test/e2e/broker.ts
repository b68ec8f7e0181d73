// Pictures through a broker, on every broker: requests here, pictures there, a broker between them that
// may be killed. Each broker's test file calls this with its own way of starting one.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Engine } from '../../scripts/engines/engine.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
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

/** The place in the broker where the messages of the service lie. */
export const PICTURES = 'pictures'

export interface BrokerKind {
  name: string
  /** What this broker calls the place where messages lie. */
  place: 'queue' | 'topic'
  /** The figure of its health that tells how many messages wait. */
  waiting: 'bells' | 'lag'
  /** Whether a dead message lies there still when somebody has taken a look at it. */
  lettersStay: boolean
  /** Runs the suite where a server can be started. */
  describeWithServer(name: string, suite: () => void): void
  start(): Promise<RunningBroker>
}

export interface RunningBroker extends AsyncDisposable {
  server: Pick<Engine, 'kill' | 'start'>
  /** How the service finds it, as a user with a password and with `PICTURES` as its place. */
  environment: Environment
  /** What must not be seen anywhere. */
  secrets: readonly string[]
  /** Puts a message where the service listens. */
  send(body: string | object): Promise<void>
  /** The oldest dead message. */
  letter(): Promise<Letter | undefined>
}

export interface Letter {
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  body: any
  /** Where it came from, as it was found. */
  putBack(): Promise<void>
}

interface QueueHealth {
  status: string
  details: Record<string, number>
}

export function describePicturesThrough(kind: BrokerKind): void {
  const { name, place, waiting, lettersStay, describeWithServer } = kind
  const suite = () => {
    const stack = new AsyncDisposableStack()
    let origin: Origin
    let broker: RunningBroker
    let environment: Environment
    let api: Service
    let worker: Service
    let picture: Buffer
    before(async () => {
      picture = await jpeg(200, 100, 'teal')
      origin = stack.use(await startOrigin({}))
      broker = stack.use(await kind.start())
      const database = stack.use(await postgresEngine.create())
      const { path } = stack.use(await makeDataFolder())
      environment = {
        DATABASE_URL: database.url ?? '',
        DATA_DIR: path,
        OUTBOUND_ALLOW: '127.0.0.1/32',
        ...broker.environment,
        JOB_LEASE: '10s',
        JOB_HEARTBEAT: '1s',
        JOB_RING_AGAIN: '2s',
        JOB_MAX_ATTEMPTS: '1',
        LOG_LEVEL: 'debug',
      }
      api = stack.use(await startService({ ...environment, ROLE: 'api' }))
      worker = stack.use(await startService({ ...environment, ROLE: 'worker' }))
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
        assert.deepEqual(details, { [waiting]: 0, listeners: 1, dead_letters: 0 })
      })
    })

    test('G1, G7: a broker that is killed in mid-run loses nothing, and writes go on without it', async () => {
      const before = await postProduct(api, addresses('before', 20, 300))
      await eventually(() => assert.ok(origin.count('/before-0.jpg') > 0))
      await broker.server.kill()
      await eventually(async () => assert.equal((await queueHealth()).code, 503))
      const during = await postProduct(api, addresses('during', 20))
      assert.equal((await getProduct(api, during.id)).processing_status, 'processing')
      await broker.server.start()
      for (const { id } of [before, during, await postProduct(api, addresses('after', 20))])
        assert.equal((await settled(api, id)).processing_status, 'completed')
      for (const name of ['before', 'during', 'after']) askedOnce(name, 20)
      await eventually(async () => assert.equal((await queueHealth()).code, 200))
    })

    test(`a dead job lies in the dead ${place}; put back, it runs again with fresh attempts, once`, async () => {
      origin.routes['/dead.jpg'] = status(404)
      const { id } = await postProduct(api, [`${origin.url}/dead.jpg`])
      const failed = await settled(api, id)
      assert.equal(failed.images[0]!.status, 'failed')
      const letter = await eventually(
        async () => (await broker.letter()) ?? assert.fail('there is no message'),
      )
      const { code, stage, attempts, product_id, image_id, death, job } = letter.body
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

      await broker.send({ version: 1, job })
      await broker.send({ version: 1, job, death: job })
      origin.routes['/dead.jpg'] = picture
      await letter.putBack()
      const mended = await eventually(async () => {
        const product = await getProduct(api, id)
        assert.equal(product.processing_status, 'completed')
        return product
      })
      assert.equal(mended.images[0]!.attempts, 1)
      assert.ok(mended.version > failed.version)
      assert.equal(origin.count('/dead.jpg'), 2)

      await letter.putBack()
      await broker.send(letter.body)
      await broker.send({ version: 1, job, death })
      await broker.send('garbage')
      await eventually(async () => {
        const { [waiting]: waits, dead_letters } = (await queueHealth()).details
        assert.deepEqual([waits, dead_letters], [0, lettersStay ? 2 : 1])
      })
      assert.equal((await getProduct(api, id)).version, mended.version)
      assert.equal(origin.count('/dead.jpg'), 2)
      await eventually(() =>
        assert.match(worker.output(), /"reason":"not_json".*moved to pictures\.dead/),
      )
    })

    test('a worker that is stopped where it stands holds up nothing, nor does an api', async () => {
      await using second = await startService({ ...environment, ROLE: 'worker' })
      await using watcher = await startService({ ...environment, ROLE: 'api' })
      const { id } = await postProduct(api, addresses('paused', 20, 100))
      await eventually(() => assert.ok(origin.count('/paused-0.jpg') > 0))
      // In the middle of a transaction, perhaps, whose locks PostgreSQL takes from it after 30 s.
      for (const service of [api, second]) service.process.kill('SIGSTOP')
      try {
        const { images } = await eventually(async () => {
          const product = await getProduct(watcher, id)
          // What the paused worker had begun is lost with the one attempt that this service gives.
          assert.notEqual(product.processing_status, 'processing')
          return product
        }, 180_000)
        for (const { status, error } of images)
          assert.ok(status === 'ready' || error?.code === 'worker_lost', error?.code)
        assert.ok(images.some(({ status }) => status === 'ready'))
      } finally {
        for (const service of [api, second]) service.process.kill('SIGCONT')
      }
    })

    test('nothing that was written shows the password, and a stop is clean', async () => {
      assert.equal(await worker.stop(), 0)
      assert.equal(await api.stop(), 0)
      for (const { output } of [api, worker])
        for (const secret of broker.secrets) assert.ok(!output().includes(secret))
      const said = new RegExp(`${name} at .* (does not work; trying again|works again)`, 'g')
      const told = [...worker.output().matchAll(said)].map(([, what]) => what)
      // Once; or once more, where it went again before it was quite up.
      const outage = ['does not work; trying again', 'works again']
      assert.ok(told.length > 0)
      assert.deepEqual(
        told,
        Array.from({ length: Math.ceil(told.length / 2) }, () => outage).flat(),
      )
    })
  }
  describeOnPostgres(`pictures through ${name}`, () => {
    describeWithServer('with api and worker as processes of their own', suite)
  })
}
