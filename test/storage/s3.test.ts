// What only S3 can do: how objects are stored, what URLs they have, what it says when something is wrong.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { isAppError } from '../../src/errors.ts'
import { openStorage } from '../../src/storage/open.ts'
import { bucketUrl, createClient } from '../../src/storage/s3-client.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { eventually } from '../support/eventually.ts'
import {
  describeWithS3,
  describeWithS3Server,
  newBucket,
  type S3Bucket,
  startVersitygw,
} from '../support/s3.ts'

const jpeg = { contentType: 'image/jpeg' }
const body = Buffer.from('bytes')
const key = 'renditions/3f/a.jpg'

/** As an operator with other tools has it. */
function rawClient({ region, endpoint, credentials }: S3Bucket): S3Client {
  assert.ok(endpoint && credentials)
  return new S3Client({ region, endpoint, credentials, forcePathStyle: true })
}

describeWithS3('an object', () => {
  let bucket: S3Bucket
  let storage: Storage
  before(async () => {
    bucket = newBucket()
    storage = await openStorage(bucket)
    await storage.put(key, body, jpeg)
  })
  after(() => storage[Symbol.asyncDispose]())

  test('of a public bucket is read by everybody at its URL, with its type, and kept for good', async () => {
    assert.equal(storage.signer, undefined)
    const response = await fetch(storage.urlPrefix + key)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'image/jpeg')
    assert.equal(response.headers.get('cache-control'), 'public, max-age=31536000, immutable')
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), body)
  })

  test('has the URL of the CDN where there is one', async () => {
    await using fronted = await openStorage({ ...bucket, publicUrl: 'https://cdn.example.com/p' })
    assert.equal(fronted.urlPrefix, 'https://cdn.example.com/p/')
    assert.ok(await fronted.open(key))
  })

  test('is listed beyond the first thousand, and what is not ours is not', async () => {
    const own = newBucket()
    await using many = await openStorage(own)
    const keys = Array.from({ length: 1_050 }, (_, n) => `many/${n}.jpg`)
    const rest = keys.values()
    const putRest = async () => {
      for (const one of rest) await many.put(one, body, jpeg)
    }
    await Promise.all(Array.from({ length: 20 }, putRest))
    using client = disposable(rawClient(own))
    for (const foreign of ['readme.txt', 'many/white space.jpg', 'many/.hidden.jpg'])
      await client.send(new PutObjectCommand({ Bucket: own.bucket, Key: foreign, Body: 'x' }))
    const listed = await Array.fromAsync(many.list(), (file) => file.key)
    assert.deepEqual(listed.sort(), keys.sort())
  })
})

describeWithS3('signed URLs', () => {
  const lifetimeMs = 60_000
  const open = (changes: Partial<S3Bucket> = {}) =>
    openStorage({ ...newBucket(), signedForMs: lifetimeMs, ...changes })

  test('read a private file that nobody reads without', async () => {
    await using storage = await open()
    await storage.put(key, body, jpeg)
    assert.equal((await fetch(storage.urlPrefix + key)).status, 403)
    const url = storage.signer?.sign(key) ?? ''
    assert.ok(url.startsWith(`${storage.urlPrefix}${key}?`))
    const response = await fetch(url)
    assert.deepEqual([response.status, await response.text()], [200, 'bytes'])
    assert.equal((await fetch(url.replace(key, 'renditions/3f/b.jpg'))).status, 403)
    const { signature } = /X-Amz-Signature=(?<signature>\w+)$/.exec(url)?.groups ?? {}
    assert.equal((await fetch(url.replace(signature ?? '', '0'.repeat(64)))).status, 403)
  })

  test('are the same for a period, and live for as long again', async (context) => {
    await using storage = await open()
    const { signer } = storage
    assert.ok(signer)
    const start = Date.UTC(2026, 0, 1)
    context.mock.timers.enable({ apis: ['Date'], now: start })
    const first = signer.sign(key)
    assert.equal(signer.periodEnd(), start + lifetimeMs / 2)
    context.mock.timers.setTime(start + lifetimeMs / 2 - 1)
    assert.equal(signer.sign(key), first)
    context.mock.timers.setTime(start + lifetimeMs / 2)
    assert.notEqual(signer.sign(key), first)
    const query = new URL(first).searchParams
    assert.deepEqual(
      [query.get('X-Amz-Date'), query.get('X-Amz-Expires')],
      ['20260101T000000Z', '60'],
    )
  })

  test('do not outlive their lifetime', async (context) => {
    await using storage = await open()
    await storage.put(key, body, jpeg)
    context.mock.timers.enable({ apis: ['Date'], now: Date.now() - 2 * lifetimeMs })
    const old = storage.signer?.sign(key) ?? ''
    context.mock.timers.reset()
    assert.equal((await fetch(old)).status, 403)
  })
})

describe('the URL of a bucket', () => {
  const cases: [name: string, options: Partial<S3Bucket>, expected: string][] = [
    ['on AWS, is a host of its own', {}, 'https://shop.s3.eu-west-1.amazonaws.com/'],
    [
      'in a part of AWS that has other names',
      { region: 'cn-north-1' },
      'https://shop.s3.cn-north-1.amazonaws.com.cn/',
    ],
    [
      'with dots, which no certificate covers',
      { bucket: 'shop.example.com' },
      'https://s3.eu-west-1.amazonaws.com/shop.example.com/',
    ],
    ['in the path', { forcePathStyle: true }, 'https://s3.eu-west-1.amazonaws.com/shop/'],
    [
      'at another service, in the path',
      { endpoint: 'http://minio:9000', forcePathStyle: true },
      'http://minio:9000/shop/',
    ],
    [
      'at another service, as a host',
      { endpoint: 'https://r2.example.com' },
      'https://shop.r2.example.com/',
    ],
  ]
  for (const [name, changes, expected] of cases) {
    test(name, async () => {
      const options = {
        bucket: 'shop',
        region: 'eu-west-1',
        forcePathStyle: false,
        createBucket: false,
        ...changes,
      }
      using client = disposable(createClient(options))
      assert.equal(bucketUrl(client, options), expected)
    })
  }
})

test('files lie where their links lead, whatever endpoint the SDK would find by itself', async () => {
  const options = {
    bucket: 'shop',
    region: 'eu-west-1',
    forcePathStyle: false,
    createBucket: false,
  }
  process.env.AWS_ENDPOINT_URL_S3 = 'http://127.0.0.1:1'
  try {
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }
    using client = disposable(createClient({ ...options, credentials }))
    const asked = new Promise<string>((resolve) => {
      client.middlewareStack.add(
        () =>
          async ({ request }) => {
            resolve((request as { hostname: string }).hostname)
            throw new Error('that is enough')
          },
        { step: 'build' },
      )
    })
    const command = new HeadObjectCommand({ Bucket: options.bucket, Key: key })
    await assert.rejects(client.send(command), /that is enough/)
    assert.equal(await asked, new URL(bucketUrl(client, options)).hostname)
  } finally {
    delete process.env.AWS_ENDPOINT_URL_S3
  }
})

describeWithS3('a start', () => {
  const secrets = ['other-secret-key', 'other-access-key']
  const [secretAccessKey = '', accessKeyId = ''] = secrets
  const refused = async (changes: Partial<S3Bucket>): Promise<Error> => {
    try {
      await using _ = await openStorage({ ...newBucket(), createBucket: false, ...changes })
    } catch (error) {
      assert.ok(error instanceof Error)
      for (const secret of secrets)
        assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(secret))
      return error
    }
    throw new Error('it was opened')
  }
  const keys = newBucketKeys()

  const cases: [name: string, changes: Partial<S3Bucket>, says: RegExp][] = [
    ['without its bucket', {}, /no such bucket: create it.*S3_BUCKET_NAME.*S3_CREATE_BUCKET=true/],
    ['with an access key that is unknown', { credentials: { ...keys, accessKeyId } }, /cannot use/],
    [
      'with a wrong secret key',
      { credentials: { ...keys, secretAccessKey } },
      /secret key is wrong: check AWS_SECRET_ACCESS_KEY/,
    ],
    [
      'in another region',
      { region: 'eu-west-1' },
      /in the region us-east-1: set AWS_REGION=us-east-1$/,
    ],
    [
      'with the wrong scheme',
      { endpoint: newBucket().endpoint?.replace('http:', 'https:') },
      /check whether S3_ENDPOINT is http or https$/,
    ],
  ]
  for (const [name, changes, says] of cases) {
    test(`${name} is refused, and says what to do`, async () => {
      const error = await refused(changes)
      assert.match(error.message, says)
      assert.ok(!isAppError(error), 'waiting would not help')
    })
  }

  test('of a service that is not there may be tried again', async () => {
    const error = await refused({ endpoint: 'http://127.0.0.1:1' })
    assert.ok(isAppError(error, 'storage_failed'))
    assert.match(error.message, /nobody answers at its address\.$/)
  })

  test('of several at once makes the bucket once', async () => {
    const bucket = newBucket()
    const opened = await Promise.all(Array.from({ length: 5 }, () => openStorage(bucket)))
    await Promise.all(opened.map((storage) => storage[Symbol.asyncDispose]()))
  })

  test('goes well with a clock that is wrong by an hour, signed URLs too', async (context) => {
    const bucket = { ...newBucket(), signedForMs: 60_000 }
    context.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 })
    await using storage = await openStorage(bucket)
    await storage.put(key, body, jpeg)
    const { signer } = storage
    assert.ok(signer)
    assert.equal((await fetch(signer.sign(key))).status, 200)
    assert.ok(signer.periodEnd() - Date.now() <= 30_000)
  })
})

describeWithS3Server('an access key that may not do all', () => {
  test('is refused at the start and told by ping, until a policy lets it', async () => {
    await using server = await startVersitygw()
    const user = { accessKeyId: 'reader', secretAccessKey: 'reader-secret' }
    await server.addUser(user)
    const bucket = newBucket(server.url)
    await using _owned = await openStorage(bucket)
    using client = disposable(rawClient(bucket))
    const allow = async (...actions: string[]) => {
      const arn = `arn:aws:s3:::${bucket.bucket}`
      const Statement = actions.map((Action) => ({
        Effect: 'Allow',
        Principal: { AWS: user.accessKeyId },
        Action,
        Resource: Action === 's3:ListBucket' ? arn : `${arn}/*`,
      }))
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement })
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket.bucket, Policy }))
    }
    const open = () => openStorage({ ...bucket, credentials: user, createBucket: false })
    const says = /the access key may not do this: allow it s3:ListBucket .* s3:PutObject/

    await assert.rejects(open(), says)
    await allow('s3:ListBucket', 's3:GetObject')
    await assert.rejects(open(), says)
    await allow('s3:ListBucket', 's3:GetObject', 's3:PutObject', 's3:DeleteObject')
    await using storage = await open()
    await storage.put(key, body, jpeg)
    await storage.remove(key)
    assert.equal(await storage.open(key), undefined)
    await allow('s3:ListBucket', 's3:GetObject')
    // A ping that takes longer than a health check says only that.
    await eventually(() =>
      assert.rejects(storage.ping(), (error) => {
        assert.ok(isAppError(error, 'storage_failed'))
        assert.match(error.message, says)
        return true
      }),
    )
  })
})

describeWithS3('a bucket that goes', () => {
  test('is told, with what to do, and none of its files is lost', async () => {
    const bucket = newBucket()
    await using storage = await openStorage(bucket)
    using client = disposable(rawClient(bucket))
    // What the start left to see whether it may write.
    await client.send(new DeleteObjectCommand({ Bucket: bucket.bucket, Key: '.ping' }))
    await client.send(new DeleteBucketCommand({ Bucket: bucket.bucket }))
    const says = /^(The|Files) .+: there is no such bucket: create it/
    const calls = [storage.open(key), storage.remove(key), storage.marks()]
    const error = { code: 'storage_failed', message: says }
    await Promise.all(calls.map((call) => assert.rejects(call, error)))
    await eventually(() => assert.rejects(storage.ping(), error))
  })
})

describe('a service that takes connections and says nothing', () => {
  const stack = new AsyncDisposableStack()
  let storage: Storage
  let isSilent = false
  before(async () => {
    const server = createServer((request, response) => {
      if (isSilent) return
      request.resume().on('end', () => response.end('<ListBucketResult></ListBucketResult>'))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    storage = stack.use(
      await openStorage({
        ...newBucket('http://key:secret@127.0.0.1'),
        endpoint: `http://127.0.0.1:${port}`,
      }),
    )
    isSilent = true
  })
  after(() => stack.disposeAsync())

  test('fails a ping within the time of a health check', async () => {
    const startedAt = performance.now()
    await assert.rejects(storage.ping(), (error) => {
      assert.ok(isAppError(error, 'storage_failed'))
      assert.equal(error.message, 'Files can not be written: it did not answer in time.')
      return true
    })
    assert.ok(performance.now() - startedAt < 5_000)
  })

  test('lets a put go the moment it is aborted', async () => {
    const controller = new AbortController()
    const reason = new Error('the attempt is over')
    const put = storage.put(key, body, { ...jpeg, signal: controller.signal })
    await new Promise(setImmediate)
    const startedAt = performance.now()
    controller.abort(reason)
    await assert.rejects(put, reason)
    assert.ok(performance.now() - startedAt < 5_000)
  })
})

function newBucketKeys() {
  const { accessKeyId = '', secretAccessKey = '' } = newBucket().credentials ?? {}
  return { accessKeyId, secretAccessKey }
}

function disposable(client: S3Client): S3Client & Disposable {
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}
