// G7: the database goes away under a working service and comes back. What is cached is still answered
// for a while, the rest is refused with a time to come back, and no picture is lost or made twice.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { CheckResult } from '../../src/observability/health.ts'
import { startComposed } from '../support/composed.ts'
import { eventually } from '../support/eventually.ts'
import { heldBack, type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import {
  describeWithPostgresServer,
  type PostgresServer,
  startPostgresServer,
} from '../support/postgres-server.ts'
import {
  type Environment,
  getProduct,
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  spawnService,
  startService,
} from '../support/service.ts'

/** More than are fetched from one host at a time: some run, some wait in the ledger. */
const PICTURES = 6

describeWithPostgresServer('G7: a service whose database goes away', () => {
  const stack = new AsyncDisposableStack()
  let server: PostgresServer
  let origin: Origin
  let picture: Buffer
  /** Of all processes on this database: it has one store. */
  let DATA_DIR: string
  before(async () => {
    DATA_DIR = stack.use(await makeDataFolder({ empty: true })).path
    server = stack.use(await startPostgresServer())
    origin = stack.use(await startOrigin())
    picture = await jpeg(60, 50, 'tan')
    origin.routes['/ready.jpg'] = picture
  })
  after(() => stack.disposeAsync())

  const start = (environment: Environment) =>
    startComposed({
      DATABASE_URL: server.url,
      DATA_DIR,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      ...environment,
    })
  /** A product whose pictures are held back by their origin until `release`. */
  const postHeld = async (service: Pick<Service, 'url'>, name: string) => {
    const { promise, resolve: release } = Promise.withResolvers<void>()
    const paths = Array.from({ length: PICTURES }, (_, n) => `/${name}-${n}.jpg`)
    for (const path of paths) origin.routes[path] = heldBack(promise, picture)
    const { id } = await postProduct(
      service,
      paths.map((path) => origin.url + path),
    )
    await eventually(() => assert.equal(paths.filter((path) => origin.count(path)).length, 4))
    return { id, paths, release }
  }
  const post = (service: Pick<Service, 'url'>) =>
    fetch(`${service.url}/products`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user_id: 1, product_name: 'Late', product_price: 1 }),
    })
  const reasonOf = async (response: Response) => {
    const { code } = (await response.json()) as { code: string }
    assert.ok(Number(response.headers.get('retry-after')) >= 1)
    return [response.status, code]
  }

  test('answers what it can, keeps what it made, and goes on when it is back', async (t) => {
    await using service = await start({ CACHE_MAX_STALE: '15s', JOB_LEASE: '2m' })
    const get = (path: string) => fetch(service.url + path)
    const { id: cached } = await postProduct(service, [`${origin.url}/ready.jpg`])
    await settled(service, cached)
    const held = await postHeld(service, 'held')

    await server.stop('immediate')
    assert.deepEqual(await reasonOf(await post(service)), [503, 'unavailable'])
    assert.deepEqual(await reasonOf(await get(`/products/${held.id}`)), [503, 'unavailable'])
    assert.deepEqual(await reasonOf(await get('/products')), [503, 'unavailable'])
    await eventually(async () => {
      const response = await get(`/products/${cached}`)
      assert.equal(response.status, 200)
      assert.ok(Number(response.headers.get('age')) >= 1, 'it says how old it may be')
    })
    held.release()
    const ready = await get('/readyz')
    const { failing } = (await ready.json()) as { failing: string[] }
    assert.equal(ready.status, 503)
    assert.ok(failing.includes('database') && !failing.includes('storage'), String(failing))
    assert.equal((await get('/livez')).status, 200)
    await eventually(async () => {
      const response = await get(`/products/${cached}`)
      assert.deepEqual(await reasonOf(response), [503, 'unavailable'], 'but not for ever')
    })

    await server.start()
    const backAt = performance.now()
    const { images, processing_status } = await settled(service, held.id)
    t.diagnostic(`all settled ${Math.round(performance.now() - backAt)} ms after it was back`)
    assert.equal(processing_status, 'completed')
    for (const { attempts } of images) assert.equal(attempts, 1)
    for (const path of held.paths) assert.equal(origin.count(path), 1, `${path} was fetched once`)
    assert.equal((await getProduct(service, cached)).processing_status, 'completed')
    await eventually(async () => assert.equal((await get('/readyz')).status, 200))
    const { id } = await postProduct(service, [`${origin.url}/ready.jpg`])
    assert.equal((await settled(service, id)).processing_status, 'completed')
    assert.deepEqual(
      service.logs.filter(({ level }) => level >= 50),
      [],
      'an outage is no defect',
    )
  })

  test('without a word is noticed by readers of what is cached within seconds', async (t) => {
    await using service = await start({ CACHE_MAX_STALE: '1m' })
    const { id } = await postProduct(service, [])
    // What is read before the event log is followed is not kept.
    await eventually(async () => {
      await getProduct(service, id)
      const health = await fetch(`${service.url}/health/cache`)
      const { details } = (await health.json()) as CheckResult
      assert.equal(details?.entries, 1)
    })
    const read = async () => {
      const startedAt = performance.now()
      const response = await fetch(`${service.url}/products/${id}`)
      const ms = Math.round(performance.now() - startedAt)
      return { ms, status: response.status, age: response.headers.get('age') }
    }
    try {
      await server.freeze()
      await eventually(async () => {
        const { ms, status, age } = await read()
        assert.equal(status, 200)
        assert.ok(ms < 4_000, `it took ${ms} ms`)
        assert.ok(age !== null, 'so far it was certain')
        t.diagnostic(`${ms} ms, ${age} s old`)
      }, 20_000) // of the 30 s of a statement
      const ready = await fetch(`${service.url}/readyz`)
      assert.equal(ready.status, 503)
    } finally {
      await server.thaw()
    }
    await eventually(async () => assert.equal((await read()).age, null))
  })

  test('without a word is no request held up for, and everything goes on when it speaks again', async (t) => {
    await using service = await start({ JOB_LEASE: '2m' })
    const { id: ready } = await postProduct(service, [`${origin.url}/ready.jpg`])
    await settled(service, ready)
    const held = await postHeld(service, 'unheard')
    const get = (path: string) => fetch(service.url + path)
    const refuseAll = async () => {
      const startedAt = performance.now()
      const stream = get(`/products/${ready}/events`)
      const asked = [post(service), get('/products'), get(`/products/${held.id}`), stream]
      for (const response of await Promise.all(asked))
        assert.deepEqual(await reasonOf(response), [503, 'unavailable'])
      return Math.round(performance.now() - startedAt)
    }
    try {
      await server.freeze()
      const noticedMs = await refuseAll()
      assert.ok(noticedMs < 20_000, `${noticedMs} ms of the 30,000 of a statement`)
      held.release()
      const refusedMs = await refuseAll()
      assert.ok(refusedMs < 3_000, `${refusedMs} ms, as if it had to be noticed again`)
      t.diagnostic(`noticed within ${noticedMs} ms, then refused within ${refusedMs} ms`)
    } finally {
      await server.thaw()
    }
    const thawedAt = performance.now()
    await eventually(async () => assert.equal((await get('/readyz')).status, 200))
    t.diagnostic(`ready ${Math.round(performance.now() - thawedAt)} ms after it spoke`)
    const { images, processing_status } = await settled(service, held.id)
    assert.equal(processing_status, 'completed')
    for (const { attempts } of images) assert.equal(attempts, 1)
    for (const path of held.paths) assert.equal(origin.count(path), 1, `${path} was fetched once`)
    assert.deepEqual(
      service.logs.filter(({ level }) => level >= 50),
      [],
      'an outage is no defect',
    )
  })

  test('for longer than a lease costs attempts, but no picture', async () => {
    await using service = await start({ JOB_LEASE: '6s', JOB_HEARTBEAT: '500ms' })
    const held = await postHeld(service, 'lost')
    await server.stop('fast')
    await eventually(() => {
      const lost = service.logs.filter(({ msg }) => msg.startsWith('an attempt was discarded'))
      assert.equal(lost.length, 4)
    })
    held.release()
    await server.start()
    const { images, processing_status } = await settled(service, held.id)
    assert.equal(processing_status, 'completed')
    // On a busy machine one may be lost once more.
    const again = images.filter(({ attempts }) => attempts >= 2)
    assert.ok(again.length >= 4, JSON.stringify(images))
  })

  test('can still be stopped in time, and be started before it is back', async () => {
    const environment = {
      DATABASE_URL: server.url,
      DATA_DIR,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      SHUTDOWN_TIMEOUT: '2s',
      START_TIMEOUT: '5m',
      JOB_LEASE: '2s',
      JOB_HEARTBEAT: '500ms',
    }
    const service = stack.use(await startService(environment))
    const held = await postHeld(service, 'stopped')
    await server.stop('fast')
    const startedAt = performance.now()
    await service.stop()
    assert.ok(performance.now() - startedAt < 10_000, service.output())
    held.release()

    const successor = stack.use(await spawnService(environment))
    await eventually(() => assert.match(successor.output(), /trying again/))
    await server.start()
    const { images } = await eventually(() => settled(successor, held.id))
    for (const { status } of images) assert.equal(status, 'ready')
    assert.equal(await successor.stop(), 0)
  })
})
