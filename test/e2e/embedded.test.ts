// The whole service as a newcomer starts it: nothing but the checkout, a folder and a picture's URL.

import assert from 'node:assert/strict'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { eventually } from '../support/eventually.ts'
import { heldBack, type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import {
  getProduct,
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  startService,
} from '../support/service.ts'

describe('an embedded service', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let service: Service
  let environment: Record<string, string>
  before(async () => {
    origin = stack.use(
      await startOrigin({
        '/wide.jpg': await jpeg(1600, 600, 'red'),
        '/small.jpg': await jpeg(100, 80, 'blue'),
        '/text.jpg': 'this is no picture',
      }),
    )
    const { path } = stack.use(await makeDataFolder({ empty: true }))
    environment = {
      DATA_DIR: path,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      JOB_LEASE: '4s',
      JOB_HEARTBEAT: '1s',
    }
    service = stack.use(await startService(environment))
  })
  after(() => stack.disposeAsync())

  test('G2: a posted picture is published, and its file can be opened', async () => {
    const { id } = await postProduct(service, [`${origin.url}/wide.jpg`, `${origin.url}/small.jpg`])
    const product = await settled(service, id)
    assert.equal(product.processing_status, 'completed')
    const [wide, small] = product.images
    assert.deepEqual(
      [
        wide!.width,
        wide!.height,
        wide!.format,
        wide!.renditions[0]!.width,
        wide!.renditions[0]!.height,
      ],
      [1600, 600, 'jpeg', 800, 300],
    )
    assert.deepEqual([small!.renditions[0]!.width, small!.renditions[0]!.height], [100, 80])
    assert.deepEqual(
      product.compressed_product_images,
      product.images.map(({ renditions }) => renditions[0]!.url),
    )
    const file = await fetch(
      product.compressed_product_images[0]!.replace('localhost', '127.0.0.1'),
    )
    assert.equal(file.headers.get('content-type'), 'image/jpeg')
    const metadata = await sharp(Buffer.from(await file.arrayBuffer())).metadata()
    assert.deepEqual([metadata.format, metadata.width, metadata.height], ['jpeg', 800, 300])
  })

  test('the same source twice is one file', async () => {
    const { id } = await postProduct(service, [
      `${origin.url}/small.jpg`,
      `${origin.url}/small.jpg`,
    ])
    const { images } = await settled(service, id)
    assert.equal(images[0]!.renditions[0]!.url, images[1]!.renditions[0]!.url)
    assert.equal(images[0]!.thumbhash, images[1]!.thumbhash)
  })

  test('a picture whose file was lost is there again after a retry, and for whoever posts it anew', async () => {
    const { id } = await postProduct(service, [`${origin.url}/small.jpg`])
    const { images } = await settled(service, id)
    const shown = async (product: string) => {
      const [url = ''] = (await settled(service, product)).compressed_product_images
      return { url, status: (await fetch(url.replace('localhost', '127.0.0.1'))).status }
    }
    const { url } = await shown(id)
    await rm(join(environment.DATA_DIR!, 'objects', url.replace(/^.*\/media\//, '')))
    assert.deepEqual(await shown(id), { url, status: 404 })
    const again = await postProduct(service, [`${origin.url}/small.jpg`])
    const anew = await shown(again.id)
    assert.equal(anew.status, 200)
    assert.notEqual(anew.url, url)
    await fetch(`${service.url}/images/${images[0]!.id}/retry`, { method: 'POST' })
    assert.deepEqual(await shown(id), anew)
  })

  test('a failure has its code, and each attempt a row', async () => {
    const { id } = await postProduct(service, [`${origin.url}/text.jpg`, `${origin.url}/gone.jpg`])
    const { processing_status, images } = await settled(service, id)
    assert.equal(processing_status, 'failed')
    assert.deepEqual(
      images.map(({ error }) => [error?.code, error?.stage, error?.retryable]),
      [
        ['not_an_image', 'inspect', false],
        ['origin_not_found', 'download', false],
      ],
    )
    const response = await fetch(`${service.url}/images/${images[1]!.id}/attempts`)
    const [attempt] = ((await response.json()) as { data: Record<string, unknown>[] }).data
    assert.deepEqual(
      [attempt!.number, attempt!.stage, attempt!.code, attempt!.http_status, attempt!.outcome],
      [1, 'download', 'origin_not_found', 404, 'failed'],
    )
    const line = new RegExp(`"image_id":"${images[1]!.id}".*picture failed`)
    await eventually(() => assert.match(service.output(), line))
  })

  test('a failed picture is retried on demand and ends ready', async () => {
    const { id } = await postProduct(service, [`${origin.url}/late.jpg`])
    const failed = await settled(service, id)
    origin.routes['/late.jpg'] = await jpeg(50, 50, 'green')
    const imageId = failed.images[0]!.id
    const retry = await fetch(`${service.url}/images/${imageId}/retry`, { method: 'POST' })
    assert.equal(retry.status, 202)
    const product = await eventually(async () => {
      const current = await getProduct(service, id)
      assert.equal(current.processing_status, 'completed')
      return current
    })
    assert.deepEqual([product.images[0]!.attempts, product.images[0]!.error], [1, null])
    assert.ok(product.version > failed.version)
  })

  test('a second process on the same data is refused, and says so', async () => {
    await assert.rejects(startService(environment), /in use/)
  })

  test('G1, G2: after kill -9 in mid-run every picture still ends ready', async () => {
    const held = Promise.withResolvers<void>()
    const body = await jpeg(300, 200, 'orange')
    for (let n = 0; n < 12; n++) {
      origin.routes[`/held-${n}.jpg`] = heldBack(held.promise, body)
    }
    const urls = Array.from({ length: 12 }, (_, n) => `${origin.url}/held-${n}.jpg`)
    const { id } = await postProduct(service, urls)
    await eventually(() =>
      assert.ok(origin.requests.filter(({ url }) => url.startsWith('/held')).length >= 2),
    )
    await service.kill()
    held.resolve()
    service = stack.use(await startService(environment))
    const product = await settled(service, id)
    assert.equal(product.processing_status, 'completed')
    assert.equal(product.compressed_product_images.length, 12)
  })

  test('after kill -9 pictures go on at once, however long their leases, and the spool is empty', async () => {
    const held = Promise.withResolvers<void>()
    const body = await jpeg(30, 20, 'purple')
    origin.routes['/leased.jpg'] = heldBack(held.promise, body)
    const leased = { ...environment, JOB_LEASE: '10m' }
    assert.equal(await service.stop(), 0)
    const killed = stack.use(await startService(leased))
    const { id } = await postProduct(killed, [`${origin.url}/leased.jpg`])
    await origin.asked('/leased.jpg')
    await killed.kill()
    held.resolve()
    const left = join(environment.DATA_DIR!, 'spool-embedded', 'left-behind')
    await writeFile(left, body)
    const others = join(environment.DATA_DIR!, 'spool')
    await mkdir(others)
    await writeFile(join(others, 'in-use'), body)
    service = stack.use(await startService(leased))
    const { images } = await settled(service, id, 60_000)
    assert.deepEqual([images[0]!.status, images[0]!.attempts], ['ready', 2])
    await assert.rejects(stat(left), { code: 'ENOENT' })
    assert.ok(await stat(join(others, 'in-use')), 'a worker on PostgreSQL may be at it')
  })

  test('G9: SIGTERM gives running work back without counting the attempt', async () => {
    const held = Promise.withResolvers<void>()
    origin.routes['/slow.jpg'] = heldBack(held.promise, await jpeg(30, 20, 'orange'))
    const stopping = stack.use(await startServiceAgain({ SHUTDOWN_TIMEOUT: '4s' }))
    const { id } = await postProduct(stopping, [`${origin.url}/slow.jpg`])
    await origin.asked('/slow.jpg')
    assert.equal(await stopping.stop(), 0)
    held.resolve()
    service = stack.use(await startService(environment))
    const { images } = await settled(service, id)
    assert.deepEqual([images[0]!.status, images[0]!.attempts], ['ready', 1])
  })

  async function startServiceAgain(changes: Record<string, string>) {
    assert.equal(await service.stop(), 0)
    return await startService({ ...environment, ...changes })
  }
})
