// What probes are told while engines fall silent, go and come: soon, with the right names, and nothing
// that is nobody's business. G7: what takes no request away takes no process out.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { CheckResult, HealthReport } from '../../src/observability/health.ts'
import {
  describeOnAllEngines,
  type EngineName,
  type Engines,
  engineNames,
  openEngines,
} from '../support/engines.ts'
import { eventually } from '../support/eventually.ts'
import { heldBack, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import {
  type Environment,
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  spawnService,
  startService,
} from '../support/service.ts'

interface Readiness {
  status: string
  failing: string[]
  checks: Record<string, CheckResult>
}

describeOnAllEngines('the health of api and worker', () => {
  const stack = new AsyncDisposableStack()
  let engines: Engines
  let environment: Environment
  let api: Service
  let worker: Service
  before(async () => {
    engines = stack.use(await openEngines())
    for (const name of engineNames) await engines.gates[name].open()
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    environment = { ...engines.environment, DATA_DIR, OUTBOUND_ALLOW: '127.0.0.1/32' }
    api = stack.use(await startService({ ...environment, ROLE: 'api' }))
    worker = stack.use(await startService({ ...environment, ROLE: 'worker' }))
  })
  after(() => stack.disposeAsync())

  /** As a probe does: an answer that takes long is none. */
  const ask = async <T>({ url }: Service, path: string) => {
    const response = await fetch(url + path, { signal: AbortSignal.timeout(10_000) })
    const text = await response.text()
    for (const secret of ['guest', 'secret', 'vitrine-test', '127.0.0.1'])
      assert.ok(!text.includes(secret), text)
    return { status: response.status, body: JSON.parse(text) as T }
  }
  const ready = (service: Service) =>
    eventually(async () => assert.equal((await ask(service, '/readyz')).status, 200))
  const failing = (service: Service, names: readonly string[]) =>
    eventually(async () => {
      const { status, body } = await ask<Readiness>(service, '/readyz')
      assert.deepEqual([status, body.status, body.failing], [503, 'not_ready', names])
    })

  test('names each dependency that its role uses, with the time it takes to answer', async () => {
    const used = { api: [...engineNames, 'events'], worker: ['database', 'queue', 'storage'] }
    for (const [service, names] of [
      [api, used.api],
      [worker, used.worker],
    ] as const) {
      await ready(service)
      const { body } = await ask<HealthReport>(service, '/health')
      assert.deepEqual(Object.keys(body.checks).sort(), names.toSorted())
      for (const name of names.filter((one) => one !== 'events')) {
        const { latency_ms } = await eventually(async () => {
          const { status, body: check } = await ask<CheckResult>(service, `/health/${name}`)
          assert.deepEqual([status, check.status], [200, 'healthy'], name)
          return check
        })
        assert.ok(latency_ms > 0, `${name}: nothing was asked over the network`)
      }
    }
    await eventually(async () => assert.equal((await ask(api, '/redis-health')).status, 200))
    assert.equal((await ask(worker, '/redis-health')).status, 404)
  })

  test('of a worker is all that it answers', async () => {
    assert.equal((await ask(worker, '/livez')).status, 200)
    for (const path of ['/products', '/api/v1/products', '/openapi.json', '/events'])
      assert.equal((await ask(worker, path)).status, 404, path)
    const post = await fetch(`${worker.url}/health`, { method: 'POST' })
    assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD, OPTIONS'])
  })

  for (const name of ['queue', 'cache', 'storage'] as const) {
    test(`of a process whose ${name} is silent, then away: unready, and of use to a load balancer`, async () => {
      const unready = async () => {
        await failing(api, [name])
        await (name === 'cache' ? ready(worker) : failing(worker, [name]))
        const { status, body } = await ask<HealthReport>(api, '/health')
        assert.deepEqual([status, body.status], [200, 'degraded'])
        assert.equal((await ask(api, `/health/${name}`)).status, 503)
        assert.equal((await ask(api, '/livez')).status, 200)
      }
      engines.gates[name].silence()
      await unready()
      engines.gates[name].speak()
      await ready(api)
      await engines.gates[name].close()
      await unready()
      await engines.gates[name].open()
      await ready(api)
      await ready(worker)
    })
  }

  test('of a process whose database is silent, then away: of no use, and alive', async () => {
    const useless = async () => {
      for (const service of [api, worker]) {
        await eventually(async () => {
          const { status, body } = await ask<HealthReport>(service, '/health')
          assert.deepEqual([status, body.status], [503, 'unhealthy'])
        })
        const { body } = await ask<Readiness>(service, '/readyz')
        assert.ok(body.failing.includes('database' satisfies EngineName))
        assert.equal((await ask(service, '/health/database')).status, 503)
        await eventually(async () => {
          assert.equal((await ask(service, '/health/storage')).status, 200)
        })
        assert.equal((await ask(service, '/livez')).status, 200)
      }
    }
    engines.gates.database.silence()
    await useless()
    engines.gates.database.speak()
    for (const service of [api, worker]) await ready(service)
    await engines.gates.database.close()
    await useless()
    await engines.gates.database.open()
    for (const service of [api, worker]) await ready(service)
  })

  test('of a process that stops: of no use from then on, until it is gone', async () => {
    const second = stack.use(await startService({ ...environment, ROLE: 'api' }))
    const stopped = second.stop()
    await eventually(async () => {
      const { status, body } = await ask<HealthReport>(second, '/health')
      assert.deepEqual([status, body.status], [503, 'stopping'])
    })
    assert.equal(await stopped, 0)
  })

  test('of a worker that stops is told until its last picture is finished', async () => {
    const held = Promise.withResolvers<void>()
    await using origin = await startOrigin()
    // Each worker fetches four of them at a time.
    const paths = Array.from({ length: 8 }, (_, n) => `/${n}.jpg`)
    for (const path of paths)
      origin.routes[path] = heldBack(held.promise, await jpeg(20, 10, 'teal'))
    const second = stack.use(await startService({ ...environment, ROLE: 'worker' }))
    const { id } = await postProduct(
      api,
      paths.map((path) => origin.url + path),
    )
    await eventually(() => assert.equal(origin.requests.length, 8))
    const stopped = second.stop()
    await eventually(async () => {
      const { status, body } = await ask<Readiness>(second, '/readyz')
      assert.deepEqual([status, body.status], [503, 'stopping'])
    })
    assert.equal((await ask(second, '/livez')).status, 200)
    held.resolve()
    assert.equal(await stopped, 0)
    const { images } = await settled(api, id)
    for (const { status, attempts } of images) assert.deepEqual([status, attempts], ['ready', 1])
  })

  test('has a port of its own in each worker, and who finds his taken says which setting it is', async () => {
    const WORKER_PORT = new URL(worker.url).port
    const late = stack.use(await spawnService({ ...environment, ROLE: 'worker', WORKER_PORT }))
    await eventually(() => assert.equal(late.process.exitCode, 1))
    assert.match(late.output(), new RegExp(`port ${WORKER_PORT} is taken .*set WORKER_PORT`))
    const other = stack.use(await startService({ ...environment, ROLE: 'worker' }))
    assert.equal(await other.stop(), 0)
  })
})
