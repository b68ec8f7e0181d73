// Pictures in a bucket: published there, read from there by everybody or by signed URLs only, and waiting
// while it is away.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import sharp from 'sharp'
import type { ProductDocument } from '../../src/products/product.ts'
import { openStorage } from '../../src/storage/open.ts'
import { type Composed, startComposed } from '../support/composed.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import {
  describeWithS3,
  describeWithS3Server,
  newBucket,
  settingsOf,
  startVersitygw,
} from '../support/s3.ts'
import {
  type Environment,
  getProduct,
  makeDataFolder,
  postProduct,
  settled,
  spawnService,
  startService,
} from '../support/service.ts'
import { vitrine } from '../support/vitrine.ts'

const allowed: Environment = { OUTBOUND_ALLOW: '127.0.0.1/32' }

async function startPictures(): Promise<Origin> {
  return await startOrigin({ '/a.jpg': await jpeg(90, 60, 'olive') })
}

function urlsOf({ compressed_product_images, images }: ProductDocument): string[] {
  const urls = images.flatMap(({ renditions }) => renditions.map(({ url }) => url))
  assert.deepEqual(compressed_product_images, urls)
  return urls
}

describeWithS3('a service with a public bucket', () => {
  const stack = new AsyncDisposableStack()
  const bucket = newBucket()
  let origin: Origin
  let service: Composed
  before(async () => {
    origin = stack.use(await startPictures())
    service = stack.use(await startComposed({ ...allowed, ...settingsOf(bucket) }))
  })
  after(() => stack.disposeAsync())

  test('publishes a picture there, at a URL that answers with it', async () => {
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    const product = await settled(service, id)
    assert.equal(product.processing_status, 'completed')
    const [url = ''] = urlsOf(product)
    assert.ok(url.startsWith(`${bucket.endpoint}/${bucket.bucket}/renditions/`), url)
    const response = await fetch(url)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'image/jpeg')
    const { format, width, height } = await sharp(await response.bytes()).metadata()
    assert.deepEqual([format, width, height], ['jpeg', 90, 60])
  })

  test('sends links from before it had a bucket there, and gives away nothing else of it', async () => {
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    const [url = ''] = urlsOf(await settled(service, id))
    const key = url.slice(`${bucket.endpoint}/${bucket.bucket}/`.length)
    const old = `${service.url}/media/${key}`
    for (const method of ['GET', 'HEAD']) {
      const here = await fetch(old, { method, redirect: 'manual' })
      assert.deepEqual([here.status, here.headers.get('location')], [302, url])
    }
    const [there, followed] = await Promise.all([fetch(url), fetch(old)])
    assert.deepEqual([there.status, followed.status], [200, 200])
    assert.deepEqual(await followed.bytes(), await there.bytes())

    await using storage = await openStorage(bucket)
    const foreign = 'invoices/2026/scan.jpg'
    await storage.put(foreign, await jpeg(9, 6, 'red'), { contentType: 'image/jpeg' })
    for (const method of ['GET', 'HEAD'])
      assert.equal((await fetch(`${service.url}/media/${foreign}`, { method })).status, 404)
  })

  test('makes a picture again that was removed from the bucket, for whoever posts it anew', async () => {
    const post = async () => {
      const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
      const [url = ''] = urlsOf(await settled(service, id))
      return { url, status: (await fetch(url)).status }
    }
    const first = await post()
    await using storage = await openStorage(bucket)
    await storage.remove(first.url.slice(`${bucket.endpoint}/${bucket.bucket}/`.length))
    const second = await post()
    assert.notEqual(second.url, first.url)
    assert.deepEqual([first.status, second.status], [200, 200])
  })

  test('is ready, and says how its storage is', async () => {
    await eventually(async () => {
      assert.equal((await fetch(`${service.url}/readyz`)).status, 200)
      const health = await fetch(`${service.url}/health/storage`)
      assert.equal(((await health.json()) as { status: string }).status, 'healthy')
    })
  })
})

describeWithS3('a service with a private bucket', () => {
  const stack = new AsyncDisposableStack()
  let service: Composed
  let product: ProductDocument
  before(async () => {
    const origin = stack.use(await startPictures())
    const signed = { S3_URLS: 'presigned', S3_URL_LIFETIME: '60s' }
    service = stack.use(await startComposed({ ...allowed, ...settingsOf(newBucket()), ...signed }))
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    product = await settled(service, id)
  })
  after(() => stack.disposeAsync())

  test('shows URLs that are signed, in products, lists and pictures, and reads without are refused', async () => {
    const list = (await (await fetch(`${service.url}/products`)).json()) as {
      data: ProductDocument[]
    }
    for (const shown of [product, ...list.data]) {
      for (const url of urlsOf(shown)) {
        assert.equal((await fetch(url)).status, 200)
        const { origin, pathname } = new URL(url)
        assert.equal((await fetch(origin + pathname)).status, 403)
        const key = pathname.split('/').slice(2).join('/')
        assert.equal((await fetch(`${service.url}/media/${key}`)).status, 404)
      }
    }
  })

  test('gives a cached product until its URLs change, with a tag of that time', async (context) => {
    const tagged = async () => {
      const response = await fetch(`${service.url}/products/${product.id}`)
      return { tag: response.headers.get('etag') ?? '', text: await response.text() }
    }
    context.mock.timers.enable({ apis: ['Date'], now: Math.floor(Date.now() / 30_000) * 30_000 })
    const first = await tagged()
    context.mock.timers.tick(29_999)
    assert.deepEqual(await tagged(), first)
    const same = { headers: { 'if-none-match': first.tag } }
    const url = `${service.url}/products/${product.id}`
    assert.equal((await fetch(url, same)).status, 304)
    context.mock.timers.tick(1)
    const second = await tagged()
    assert.notEqual(second.text, first.text)
    assert.notEqual(second.tag, first.tag)
    assert.equal((await fetch(url, same)).status, 200)
    const edit = await fetch(url, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json', 'if-match': first.tag },
      body: '{"product_price": 7}',
    })
    assert.equal(edit.status, 200, 'what was edited from an older signature still fits')
  })

  test('logs no signature', () => {
    assert.ok(!JSON.stringify(service.logs).includes('X-Amz-'))
  })
})

describeWithS3Server('a service whose bucket goes away', () => {
  test('waits for it at its start, and says so', async () => {
    await using server = await startVersitygw()
    await using folder = await makeDataFolder()
    await server.stop()
    const bucket = settingsOf(newBucket(server.url))
    const environment = { DATA_DIR: folder.path, START_TIMEOUT: '5m', ...bucket }
    await using service = await spawnService(environment)
    const says = /cannot be reached: nobody answers at its address\. Trying again for/
    await eventually(() => assert.match(service.output(), says))
    await server.start()
    await eventually(async () => assert.equal((await fetch(`${service.url}/readyz`)).status, 200))
  })

  test('has pictures that wait for it without paying', async () => {
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await startVersitygw())
    const origin = stack.use(await startPictures())
    const environment = { ...allowed, ...settingsOf(newBucket(server.url)) }
    const service = stack.use(await startComposed(environment))

    await server.stop()
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    await eventually(async () => {
      const [image] = (await getProduct(service, id)).images
      assert.deepEqual(
        [image?.status, image?.attempts, image?.error?.code],
        ['retry_scheduled', 0, 'storage_failed'],
      )
    })
    const ready = await fetch(`${service.url}/readyz`)
    const { status, failing } = (await ready.json()) as { status: string; failing: string[] }
    assert.deepEqual([status, failing], ['not_ready', ['storage']])
    const health = (await (await fetch(`${service.url}/health/storage`)).json()) as {
      error: string
    }
    assert.equal(health.error, 'Files can not be written: nobody answers at its address.')

    await server.start()
    const product = await settled(service, id)
    assert.equal(product.images[0]?.attempts, 1)
    for (const url of urlsOf(product)) assert.equal((await fetch(url)).status, 200)
  })
})

describeWithS3('a start that S3 refuses', () => {
  const refused = async (changes: Environment): Promise<string> => {
    await using folder = await makeDataFolder()
    const { code, stdout, stderr } = await vitrine(['serve'], {
      cwd: folder.path,
      env: {
        ...settingsOf(newBucket()),
        PORT: '0',
        DATA_DIR: folder.path,
        START_TIMEOUT: '60s',
        ...changes,
      },
    })
    assert.equal(code, 1)
    const said = stdout + stderr
    assert.ok(!said.includes(SECRET), 'it shows a secret')
    const lines = said.split('\n').filter((line) => line.includes('cannot start'))
    assert.equal(lines.length, 1)
    return lines[0] ?? ''
  }
  const SECRET = 'the-wrong-secret'

  test('ends with one line that says what to do', async () => {
    const cases: [Environment, RegExp][] = [
      [{ S3_CREATE_BUCKET: 'false' }, /there is no such bucket: create it/],
      [{ AWS_SECRET_ACCESS_KEY: SECRET }, /check AWS_SECRET_ACCESS_KEY/],
      [{ AWS_REGION: 'eu-west-1' }, /set AWS_REGION=us-east-1/],
      [
        { S3_ENDPOINT: 'http://127.0.0.1:1', START_TIMEOUT: '1s' },
        /Gave up after .* check S3_ENDPOINT/,
      ],
      [
        { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' },
        /there are no credentials: set AWS_ACCESS_KEY_ID/,
      ],
    ]
    const all = cases.map(async ([changes, says]) => assert.match(await refused(changes), says))
    await Promise.all(all)
  })
})

describeOnPostgres('a catalogue whose pictures move to a bucket', () => {
  describeWithS3('with S3', () => {
    test('is refused until that is said, and then shows all its pictures there', async () => {
      await using stack = new AsyncDisposableStack()
      const origin = stack.use(await startPictures())
      const database = stack.use(await postgresEngine.create())
      const { path: DATA_DIR } = stack.use(await makeDataFolder())
      const before = { ...allowed, DATA_DIR, DATABASE_URL: database.url ?? '' }
      const bucket = newBucket()
      const later = { ...before, ...settingsOf(bucket) }
      const { id } = await (async () => {
        await using service = await startComposed(before)
        const posted = await postProduct(service, [`${origin.url}/a.jpg`])
        return await settled(service, posted.id)
      })()
      await using files = await openStorage({
        kind: 'filesystem',
        directory: `${DATA_DIR}/objects`,
      })
      await using objects = await openStorage(bucket)
      for await (const { key } of files.list()) {
        const file = await files.open(key)
        assert.ok(file)
        const body = Buffer.concat(await Array.fromAsync(file.read()))
        await objects.put(key, body, { contentType: file.contentType })
      }

      await assert.rejects(startService(later), /kept elsewhere .*vitrine storage adopt/)
      const adopted = await vitrine(['storage', 'adopt'], { env: later, cwd: DATA_DIR })
      assert.deepEqual([adopted.code, adopted.stderr], [0, ''])
      assert.match(adopted.stdout, new RegExp(`the bucket ${bucket.bucket}`))
      await using service = await startService(later)
      const urls = urlsOf(await getProduct(service, id))
      assert.equal(urls.length, 1)
      for (const url of urls) assert.equal((await fetch(url)).status, 200)
    })
  })
})
