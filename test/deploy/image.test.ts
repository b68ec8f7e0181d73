// The container image does its work as nobody, in a root that it cannot write to. No container engine is
// needed: see test/support/container.ts.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import packageJson from '../../package.json' with { type: 'json' }
import { findFreePort } from '../../src/app/free-port.ts'
import {
  type Container,
  type Containers,
  noContainers,
  prepareContainers,
} from '../support/container.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Image, readImage } from '../support/image.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import { describeWithS3, newBucket, settingsOf } from '../support/s3.ts'
import { postProduct, settled } from '../support/service.ts'

test('the image is of this release, on the Node.js that it is written for', async () => {
  const { base, labels } = await readImage()
  assert.match(base, new RegExp(`^node:${process.versions.node.split('.')[0]}-`))
  assert.equal(labels['org.opencontainers.image.version'], packageJson.version)
  assert.equal(labels['org.opencontainers.image.licenses'], packageJson.license)
})

/** The pictures of these tests lie on this machine. */
const allowed = { OUTBOUND_ALLOW: '127.0.0.1/32' }

describe('the image, started', { skip: noContainers() }, () => {
  const stack = new AsyncDisposableStack()
  let image: Image
  let containers: Containers
  let origin: Origin
  before(async () => {
    image = await readImage()
    containers = stack.use(await prepareContainers(image))
    origin = stack.use(await startOrigin({ '/a.jpg': await jpeg(90, 60, 'olive') }))
  })
  after(() => stack.disposeAsync())

  const freePort = async () => String(await findFreePort('127.0.0.1'))

  /** Whether the image's own check calls a process with these settings healthy. */
  function isHealthy(environment: Record<string, string>): Promise<boolean> {
    const [, ...args] = image.healthcheck
    const env = { ...image.environment, ...environment }
    return new Promise((resolve) => {
      execFile(process.execPath, args, { env }, (error) => resolve(error === null))
    })
  }

  async function healthy(container: Container, environment: Record<string, string>): Promise<void> {
    const isOver = await eventually(async () => {
      if (container.hasEnded() || (await isHealthy(environment))) return container.hasEnded()
      throw new Error(`not healthy: ${container.output()}`)
    }, 240_000)
    if (isOver) throw new Error(`it has ended: ${container.output()}`)
  }

  test('it publishes a picture as nobody in a read-only root, and stops cleanly as the first process', async () => {
    const port = await freePort()
    const environment = { ...allowed, PORT: port }
    await using container = containers.start({ environment, writable: ['/data'] })
    await healthy(container, environment)
    const service = { url: `http://127.0.0.1:${port}` }
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    const product = await settled(service, id)
    assert.equal(product.processing_status, 'completed', container.output())
    const [url = ''] = product.compressed_product_images
    assert.equal((await fetch(url)).headers.get('content-type'), 'image/jpeg')

    // As with Docker's own settings: no namespaces, and no other user to become.
    const [, missing] = /decoded in a sandbox without: ([\w ,]+);/.exec(container.output()) ?? []
    assert.equal(missing, 'no network, separate user', container.output())
    const status = await container.look('status')
    assert.match(status, /^NSpid:\t\d+\t1$/m)
    assert.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m)
    assert.match(status, /^CapBnd:\t0+$/m)
    const mounts = (await container.look('mountinfo')).trim().split('\n')
    const writable = mounts
      .map((line) => line.split(' '))
      .filter(([, , , , , how]) => /^rw/.test(how ?? ''))
    assert.deepEqual(
      writable.map(([, , , , place]) => place),
      ['/proc', '/data'],
    )

    assert.equal(await container.stop(), 0, container.output())
    assert.equal(await isHealthy(environment), false)
  })

  describeOnPostgres('with a bucket', () => {
    describeWithS3('of its own', () => {
      test('an api writes to nothing at all, a worker to /data, and both say how they are', async () => {
        await using database = await postgresEngine.create()
        const shared = { ...allowed, DATABASE_URL: database.url ?? '', ...settingsOf(newBucket()) }
        const [PORT, WORKER_PORT] = [await freePort(), await freePort()]
        const [api, worker] = [
          { ...shared, ROLE: 'api', PORT },
          { ...shared, ROLE: 'worker', WORKER_PORT },
        ]
        await using first = containers.start({ environment: api })
        await healthy(first, api)
        await using second = containers.start({ environment: worker, writable: ['/data'] })
        await healthy(second, worker)
        const service = { url: `http://127.0.0.1:${PORT}` }
        const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
        assert.equal((await settled(service, id)).processing_status, 'completed', second.output())
        assert.deepEqual(await Promise.all([first.stop(), second.stop()]), [0, 0])
      })
    })
  })
})
