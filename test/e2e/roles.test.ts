// Several processes on one PostgreSQL: requests here, pictures there.

import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { heldBack, type Origin, sequence, startOrigin } from '../support/origin.ts'
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
import { vitrine } from '../support/vitrine.ts'

describeOnPostgres('api and worker as processes of their own', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let environment: Environment
  let api: Service
  let picture: Buffer
  before(async () => {
    picture = await jpeg(200, 100, 'teal')
    origin = stack.use(await startOrigin({ '/a.jpg': picture }))
    const database: TestDatabase = stack.use(await postgresEngine.create())
    const { path } = stack.use(await makeDataFolder())
    environment = {
      DATABASE_URL: database.url ?? '',
      DATA_DIR: path,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      JOB_LEASE: '10s',
      JOB_HEARTBEAT: '1s',
    }
    api = stack.use(await startService({ ...environment, ROLE: 'api' }))
  })
  after(() => stack.disposeAsync())

  test('a picture posted to one process is made by the other, and both nodes show it', async () => {
    await using second = await startService({ ...environment, ROLE: 'api' })
    const { id } = await postProduct(api, [`${origin.url}/a.jpg`])
    const before = await getProduct(second, id)
    assert.equal(before.processing_status, 'processing')
    await using _worker = await startService({ ...environment, ROLE: 'worker' })
    for (const node of [api, second]) {
      assert.equal((await settled(node, id)).processing_status, 'completed')
    }
  })

  test('G2: a job whose worker is killed ends ready within its lease and a little', async () => {
    const held = Promise.withResolvers<void>()
    origin.routes['/held.jpg'] = heldBack(held.promise, picture)
    await using victim = await startService({ ...environment, ROLE: 'worker' })
    const { id } = await postProduct(api, [`${origin.url}/held.jpg`])
    await origin.asked('/held.jpg')
    await victim.kill()
    held.resolve()
    await using _successor = await startService({ ...environment, ROLE: 'worker' })
    const { images } = await settled(api, id, 60_000)
    assert.deepEqual([images[0]!.status, images[0]!.attempts], ['ready', 2])
    const response = await fetch(`${api.url}/images/${images[0]!.id}/attempts`)
    const { data } = (await response.json()) as { data: { outcome: string; code: string | null }[] }
    assert.deepEqual(
      data.map(({ outcome, code }) => [outcome, code]),
      [
        ['retry_scheduled', 'worker_lost'],
        ['ready', null],
      ],
    )
  })

  test('G3: a worker that slept through its lease changes nothing when it wakes', async () => {
    const held = Promise.withResolvers<void>()
    origin.routes['/asleep.jpg'] = sequence(heldBack(held.promise, picture), picture)
    await using sleeper = await startService({ ...environment, ROLE: 'worker' })
    const { id } = await postProduct(api, [`${origin.url}/asleep.jpg`])
    await origin.asked('/asleep.jpg')
    sleeper.process.kill('SIGSTOP')
    await using _successor = await startService({ ...environment, ROLE: 'worker' })
    const product = await settled(api, id)
    assert.deepEqual([product.images[0]!.status, product.images[0]!.attempts], ['ready', 2])

    sleeper.process.kill('SIGCONT')
    held.resolve()
    const line = new RegExp(`"image_id":"${product.images[0]!.id}".*an attempt was discarded`)
    await eventually(() => assert.match(sleeper.output(), line))
    assert.equal(await sleeper.stop(), 0)
    assert.deepEqual(await getProduct(api, id), product)
  })

  test('G3: two workers share the work, and each picture is made once', async () => {
    const start = () => startService({ ...environment, ROLE: 'worker' })
    const [one, two] = await Promise.all([start(), start()])
    await using _one = one
    await using _two = two
    const urls = Array.from({ length: 20 }, (_, n) => `${origin.url}/shared-${n}.jpg`)
    for (let n = 0; n < 20; n++) origin.routes[`/shared-${n}.jpg`] = picture
    const { id } = await postProduct(api, urls)
    const { images, processing_status } = await settled(api, id)
    assert.equal(processing_status, 'completed')
    assert.deepEqual(new Set(images.map(({ attempts }) => attempts)), new Set([1]))
    for (let n = 0; n < 20; n++) assert.equal(origin.count(`/shared-${n}.jpg`), 1)
  })

  test('a process with another store refuses to start, until it is told that this is the one and the former is not', async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    const elsewhere = { ...environment, DATA_DIR }
    for (const ROLE of ['api', 'worker'])
      await assert.rejects(
        startService({ ...elsewhere, ROLE }),
        /pictures of this database are kept elsewhere .*DATA_DIR.*vitrine storage adopt/,
      )
    const adopted = await vitrine(['storage', 'adopt'], { env: elsewhere, cwd: DATA_DIR })
    assert.deepEqual([adopted.code, adopted.stderr], [0, ''])
    await using _moved = await startService({ ...elsewhere, ROLE: 'api' })
    await assert.rejects(startService({ ...environment, ROLE: 'worker' }), /are kept elsewhere/)
  })

  test('a store that was emptied is refused; once it is adopted, retries make its pictures again', async () => {
    await using open = await postgresEngine.create()
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    const own = { ...environment, DATABASE_URL: open.url ?? '', DATA_DIR }
    const shown = async (service: Service, id: string) => {
      const [url = ''] = (await settled(service, id)).compressed_product_images
      return (await fetch(url.replace('localhost', '127.0.0.1'))).status
    }
    const { id, images } = await (async () => {
      await using service = await startService(own)
      const product = await postProduct(service, [`${origin.url}/a.jpg`])
      assert.equal(await shown(service, product.id), 200)
      return product
    })()
    await rm(join(DATA_DIR, 'objects'), { recursive: true })
    await assert.rejects(startService(own), /are kept elsewhere/)
    const adopted = await vitrine(['storage', 'adopt'], { env: own, cwd: DATA_DIR })
    assert.deepEqual([adopted.code, adopted.stderr], [0, ''])
    await using service = await startService(own)
    assert.equal(await shown(service, id), 404)
    const { status } = await fetch(`${service.url}/images/${images[0]!.id}/retry`, {
      method: 'POST',
    })
    assert.equal(status, 202)
    assert.equal(await shown(service, id), 200)
  })

  test('of several that start at once one marks the store, and another store is refused', async () => {
    await using open = await postgresEngine.create()
    const place = ({ path }: { path: string }) => ({
      ...environment,
      DATABASE_URL: open.url ?? '',
      DATA_DIR: path,
      ROLE: 'api',
    })
    const folders = [stack.use(await makeDataFolder()), stack.use(await makeDataFolder())]
    const started = await Promise.allSettled(folders.map((at) => startService(place(at))))
    for (const result of started) if (result.status === 'fulfilled') stack.use(result.value)
    assert.deepEqual(started.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })
})
