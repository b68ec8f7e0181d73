// Two api and two worker processes are restarted one after the other, as a new release does it, while
// clients read and write: nobody notices.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import sharp from 'sharp'
import { findFreePort } from '../../src/app/free-port.ts'
import { type Balancer, openBalancer } from '../support/balancer.ts'
import { describeOnAllEngines, type Engines, engineNames, openEngines } from '../support/engines.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import {
  type Environment,
  makeDataFolder,
  type Service,
  settled,
  startService,
} from '../support/service.ts'

/** How long an origin takes: some pictures are always under way. */
const DOWNLOAD_MS = 300
const WRITERS = 2
const READERS = 4
const WRITE_EVERY_MS = 200
const READ_EVERY_MS = 20

describeOnAllEngines('a rolling restart of two api and two worker processes', () => {
  const stack = new AsyncDisposableStack()
  let engines: Engines
  let origin: Origin
  let environment: Environment
  before(async () => {
    engines = stack.use(await openEngines())
    for (const name of engineNames) await engines.gates[name].open()
    origin = stack.use(await startOrigin())
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    environment = {
      ...engines.environment,
      DATA_DIR,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      // Connections are taken for 6 s more: the balancer has noticed by then.
      SHUTDOWN_TIMEOUT: '60s',
    }
  })
  after(() => stack.disposeAsync())

  const start = async (ROLE: 'api' | 'worker', port: number) => {
    const own = { PORT: String(port), WORKER_PORT: String(port) }
    return stack.use(await startService({ ...environment, ...own, ROLE }))
  }
  /** A picture that no other is like, at an address of its own. */
  const newPicture = async (n: number) => {
    const background = { r: n % 256, g: Math.floor(n / 256), b: 77 }
    const picture = await sharp({ create: { width: 40, height: 30, channels: 3, background } })
      .png()
      .toBuffer()
    origin.routes[`/${n}.png`] = (_request, response) =>
      void setTimeout(() => response.end(picture), DOWNLOAD_MS)
    return `${origin.url}/${n}.png`
  }

  test('fails no request, loses no picture and renders none twice', async (t) => {
    const roles = ['api', 'worker', 'api', 'worker'] as const
    const nodes: { role: 'api' | 'worker'; port: number; service: Service }[] = await Promise.all(
      roles.map(async (role) => {
        const port = await findFreePort('127.0.0.1')
        return { role, port, service: await start(role, port) }
      }),
    )
    const apis = nodes.filter(({ role }) => role === 'api').map(({ service }) => service.url)
    await using balancer = openBalancer(apis)
    const load = createLoad(balancer, newPicture)

    for (const node of nodes) {
      assert.equal(await node.service.stop(), 0, node.service.output())
      node.service = await start(node.role, node.port)
    }
    const { products, requests, failures } = await load.end()
    t.diagnostic(`${requests} requests, ${products.length} pictures`)
    assert.deepEqual(failures, [])
    assert.ok(products.length > 20 && requests > 500, 'there was load')

    const [last] = nodes
    for (const id of products) {
      const { processing_status, images } = await settled(last!.service, id)
      assert.equal(processing_status, 'completed')
      assert.equal(images[0]!.attempts, 1)
    }
    for (const path of Object.keys(origin.routes)) assert.equal(origin.count(path), 1, path)
    const { rows } = await sql<{ attempts: number; objects: number }>`
      SELECT (SELECT count(*)::int FROM image_attempts) AS attempts,
        (SELECT count(*)::int FROM objects) AS objects`.execute(engines.database.database.db)
    assert.deepEqual(rows, [{ attempts: products.length, objects: products.length }])
    for (const { service } of nodes) assert.equal(await service.stop(), 0)
  })
})

/** Clients that write and read until they are told to end. */
function createLoad(balancer: Balancer, newPicture: (n: number) => Promise<string>) {
  const products: string[] = []
  const failures: string[] = []
  let requests = 0
  let pictures = 0
  let isOver = false
  const send = async (...args: Parameters<Balancer['send']>) => {
    requests++
    try {
      const answer = await balancer.send(...args)
      if (answer.status < 400) return answer
      failures.push(`${args[0]} ${args[1]}: ${answer.status} ${JSON.stringify(answer.body)}`)
    } catch (error) {
      failures.push(`${args[0]} ${args[1]}: ${error}`)
    }
    return undefined
  }
  const write = async () => {
    const product = {
      user_id: 1,
      product_name: 'Rolling',
      product_price: 1,
      product_images: [await newPicture(pictures++)],
    }
    const created = await send('POST', '/products', product)
    if (!created) return
    const { id } = created.body as { id: string }
    products.push(id)
    await send('PATCH', `/products/${id}`, { product_price: 2 })
  }
  const read = async () => {
    const id = products[Math.floor(Math.random() * products.length)]
    await send('GET', id === undefined ? '/products' : `/products/${id}`)
  }
  const repeat = async (act: () => Promise<void>, everyMs: number) => {
    while (!isOver) {
      await act()
      await pause(everyMs)
    }
  }
  const clients = [
    ...Array.from({ length: WRITERS }, () => repeat(write, WRITE_EVERY_MS)),
    ...Array.from({ length: READERS }, () => repeat(read, READ_EVERY_MS)),
  ]
  return {
    end: async () => {
      isOver = true
      await Promise.all(clients)
      return { products, requests, failures }
    },
  }
}
