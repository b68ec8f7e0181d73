// Processes are started in any order with what they need: each waits for it, and says what for.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import sharp from 'sharp'
import { describeOnAllEngines, type Engines, openEngines } from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import {
  type Environment,
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  spawnService,
} from '../support/service.ts'

/** The tests decide when somebody comes. */
const patient = { OUTBOUND_ALLOW: '127.0.0.1/32', START_TIMEOUT: '5m' }

describeOnAllEngines('api and worker that come before their engines', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  before(async () => {
    const create = { width: 40, height: 30, channels: 3 as const, background: 'plum' }
    origin = stack.use(await startOrigin({ '/a.jpg': await sharp({ create }).jpeg().toBuffer() }))
  })
  after(() => stack.disposeAsync())

  const openAll = async () => {
    const engines: Engines = stack.use(await openEngines())
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    return { ...engines.environment, gates: engines.gates, DATA_DIR }
  }
  const start = async (environment: Environment) =>
    stack.use(await spawnService({ ...patient, ...environment }))
  const waitsFor = ({ output }: Service, what: RegExp) =>
    eventually(() => assert.match(output(), what))
  const readiness = async ({ url }: Service) => {
    const response = await fetch(`${url}/readyz`)
    const { failing } = (await response.json()) as { failing: string[] }
    return { status: response.status, failing: failing.sort() }
  }
  const tells = (service: Service, failing: readonly string[]) =>
    eventually(async () => assert.deepEqual(await readiness(service), { status: 503, failing }))
  const ready = (service: Service) =>
    eventually(async () => assert.deepEqual((await readiness(service)).failing, []))

  test('wait for the database and the bucket, start without broker and Redis, and work once all are there', async () => {
    const { gates, ...environment } = await openAll()
    const startedAt = performance.now()
    const api = await start({ ...environment, ROLE: 'api' })
    const worker = await start({ ...environment, ROLE: 'worker' })
    const both = [api, worker]
    for (const service of both)
      await waitsFor(service, /PostgreSQL at 127\.0\.0\.1:\d+.*cannot be reached.*trying again/)
    await gates.database.open()
    for (const service of both) await waitsFor(service, /pictures in the bucket .*Trying again/)
    await gates.storage.open()

    for (const [service, failing] of [
      [api, ['cache', 'queue']],
      [worker, ['queue']],
    ] as const) {
      await tells(service, failing)
      assert.equal((await fetch(`${service.url}/health`)).status, 200)
      assert.match(service.output(), /RabbitMQ at .* does not work; trying again/)
      const waits = service.output().match(/[Tt]rying again for/g) ?? []
      const seconds = (performance.now() - startedAt) / 1_000
      assert.ok(waits.length <= seconds, `${waits.length} lines in ${seconds} s`)
    }
    assert.match(api.output(), /Redis at .* is away/)
    const { id } = await postProduct(api, [`${origin.url}/a.jpg`])

    await gates.cache.open()
    await gates.queue.open()
    for (const service of both) await ready(service)
    assert.equal((await settled(api, id)).processing_status, 'completed')
    for (const service of both) assert.equal(await service.stop(), 0)
  })

  test('give up in time when nobody comes, and say what to check', async () => {
    const { gates, ...environment } = await openAll()
    await gates.database.open()
    const late = await start({ ...environment, ROLE: 'worker', START_TIMEOUT: '5s' })
    await eventually(() => assert.equal(late.process.exitCode, 1))
    assert.match(late.output(), /cannot start: .*Gave up after .*check S3_ENDPOINT/)
  })

  test('are held up by engines that let in and say nothing no more than by those that are away', async () => {
    const { gates, ...environment } = await openAll()
    for (const gate of Object.values(gates)) {
      await gate.open()
      gate.silence()
    }
    const service = await start(environment)
    await waitsFor(service, /PostgreSQL at .*trying again/)
    gates.database.speak()
    await waitsFor(service, /the bucket .*did not answer in time\. Trying again/)
    gates.storage.speak()
    await tells(service, ['cache', 'queue'])
    gates.queue.speak()
    gates.cache.speak()
    await ready(service)
  })
})
