// The image job from claim to settle, with the ledger, the catalogue and, where pictures matter, the
// whole pipeline behind it.

import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import pino from 'pino'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { bindJob, bindJobs } from '../../src/jobs/bind.ts'
import type { Worker } from '../../src/jobs/worker.ts'
import { presets } from '../../src/pipeline/presets.ts'
import type { Renderer } from '../../src/pipeline/renderer.ts'
import { createStages, type Stages, type StagesResult } from '../../src/pipeline/stages.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { handQueue, startWorker } from '../jobs/support.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { hangUp, type Origin, startOrigin } from '../support/origin.ts'
import { openTestOutbound } from '../support/outbound.ts'
import {
  createPictureWork,
  expireLease,
  freshUrls,
  type PictureWork,
  readAttempts,
  readJobOf,
  rowStages,
  snapshot,
  versionsTold,
} from '../support/picture-work.ts'
import { jpeg } from '../support/pictures.ts'
import { context, imageJob } from '../support/products.ts'
import { openTestRenderer } from '../support/renderer.ts'

describeOnEachDatabase('the image job', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const startProduct = async (work: PictureWork, count = 1) => {
    const product = await work.post(freshUrls(count))
    return { id: product.id, imageIds: product.images.map(({ id }) => id) }
  }
  const imageOf = async (work: PictureWork, id: string) => (await work.read(id)).images[0]!

  test('G3: a worker that lost its lease cannot settle what its successor has settled', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    const lost = (await work.claim(imageIds[0]!, 'lost'))!
    const settleLate = await work.run(lost)
    await expireLease(database.db, imageIds[0]!)
    assert.equal(await work.reap(), 1)
    assert.equal(await work.process(imageIds[0]!), 'done')

    const settled = await snapshot(database.db, id)
    assert.equal(await settleLate(), undefined)
    assert.equal(await work.fail(lost, new AppError('not_an_image', 'late')), undefined)
    assert.deepEqual(await snapshot(database.db, id), settled)
    assert.deepEqual(
      (await readAttempts(database.db, imageIds[0]!)).map(({ outcome, code }) => [outcome, code]),
      [
        ['retry_scheduled', 'worker_lost'],
        ['ready', null],
      ],
    )
  })

  test('G3: a worker that lost its lease cannot end the attempt of its successor', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    const lost = (await work.claim(imageIds[0]!, 'lost'))!
    const settleLate = await work.run(lost)
    await expireLease(database.db, imageIds[0]!)
    await work.reap()
    const successor = (await work.claim(imageIds[0]!, 'successor'))!

    const claimed = await snapshot(database.db, id)
    assert.equal(await settleLate(), undefined)
    assert.equal(await work.fail(lost, new AppError('not_an_image', 'late')), undefined)
    assert.deepEqual(await snapshot(database.db, id), claimed)
    assert.equal(await (await work.run(successor))(), 'done')
    assert.equal((await imageOf(work, id)).status, 'ready')
  })

  test('G3: a doorbell for a settled picture does nothing', async () => {
    const stages = rowStages(database)
    const work = createPictureWork({ database, stages })
    const { id, imageIds } = await startProduct(work)
    assert.equal(await work.process(imageIds[0]!), 'done')
    const settled = await snapshot(database.db, id)
    const queue = handQueue()
    await using _worker = startWorker(database, { queue, jobs: work.jobs })
    await queue.ring((await readJobOf(database.db, imageIds[0]!)).id)
    assert.deepEqual(await snapshot(database.db, id), settled)
    assert.equal(stages.ran.length, 1)
  })

  test('a picture whose product is deleted while it is made is dropped', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    const job = (await work.claim(imageIds[0]!))!
    const settleLate = await work.run(job)
    await sql`DELETE FROM products WHERE id = ${id}`.execute(database.db)
    const told = await versionsTold(database.db, id)

    assert.equal(await settleLate(), 'dropped')
    const { state, result } = await readJobOf(database.db, imageIds[0]!)
    assert.deepEqual([state, result], ['done', 'dropped'])
    assert.deepEqual(await versionsTold(database.db, id), told)
    assert.equal(await countRenditions(imageIds[0]!), 0)
    assert.deepEqual(await readAttempts(database.db, imageIds[0]!), [])
  })

  test('a picture that is taken from its product while it is made is dropped, and the others stay', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work, 2)
    assert.equal(await work.process(imageIds[1]!), 'done')
    const job = (await work.claim(imageIds[0]!))!
    const settleLate = await work.run(job)
    await sql`DELETE FROM images WHERE id = ${imageIds[0]!}`.execute(database.db)
    const before = await work.read(id)

    assert.equal(await settleLate(), 'dropped')
    const { state, result } = await readJobOf(database.db, imageIds[0]!)
    assert.deepEqual([state, result], ['done', 'dropped'])
    assert.deepEqual(await work.read(id), before)
    assert.equal(before.compressed_product_images.length, 1)
    assert.equal(await countRenditions(imageIds[0]!), 0)
    assert.deepEqual(await readAttempts(database.db, imageIds[0]!), [])
  })

  test('a picture that is gone before it is claimed is dropped without being fetched', async () => {
    const stages = rowStages(database)
    const work = createPictureWork({ database, stages })
    for (const gone of ['products', 'images'] as const) {
      const { id, imageIds } = await startProduct(work)
      const rowId = gone === 'products' ? id : imageIds[0]!
      await sql`DELETE FROM ${sql.table(gone)} WHERE id = ${rowId}`.execute(database.db)
      assert.equal(await work.claim(imageIds[0]!), undefined)
      const { state, result } = await readJobOf(database.db, imageIds[0]!)
      assert.deepEqual([state, result], ['done', 'dropped'], gone)
    }
    assert.deepEqual(stages.ran, [])
  })

  test('a picture that fails after it is gone is dropped by its next attempt', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    const job = (await work.claim(imageIds[0]!))!
    await sql`DELETE FROM products WHERE id = ${id}`.execute(database.db)
    const failure = new AppError('origin_error', 'The origin answered 500.')
    assert.equal(await work.fail(job, failure), 'retry_scheduled')
    assert.equal(await work.claim(imageIds[0]!), undefined)
    assert.equal((await readJobOf(database.db, imageIds[0]!)).result, 'dropped')
  })

  test('each move of a picture is one version more, told in order', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work, 2)
    const first = (await work.claim(imageIds[0]!))!
    await work.fail(first, new AppError('origin_error', 'The origin answered 500.'))
    assert.equal((await imageOf(work, id)).status, 'retry_scheduled')
    await work.process(imageIds[0]!)
    const second = (await work.claim(imageIds[1]!))!
    await work.fail(second, new AppError('not_an_image', 'The file is no picture.'))
    assert.deepEqual(await eventTypes(id), [
      'product.created',
      'image.queued',
      'image.queued',
      'image.processing',
      'image.retry_scheduled',
      'image.processing',
      'image.ready',
      'image.processing',
      'image.failed',
    ])
    assert.deepEqual(await versionsTold(database.db, id), [1, 1, 1, 2, 3, 4, 5, 6, 7])
    const product = await work.read(id)
    assert.deepEqual([product.version, product.processing_status], [7, 'partial'])
    assert.deepEqual(
      product.images.map(({ status, error }) => [status, error?.code]),
      [
        ['ready', undefined],
        ['failed', 'not_an_image'],
      ],
    )
  })

  test('a failure of ours costs no attempt, one of nobody known does', async () => {
    const work = createPictureWork({ database })
    const causes = [
      [new AppError('storage_failed', 'The disk is full.'), 'storage_failed', 0],
      [new AppError('unavailable', 'The database cannot be reached.'), 'storage_failed', 0],
      [new TypeError('x is not a function'), 'worker_lost', 1],
    ] as const
    for (const [cause, code, attempts] of causes) {
      const { id, imageIds } = await startProduct(work)
      const job = (await work.claim(imageIds[0]!))!
      assert.equal(await work.fail(job, cause), 'retry_scheduled')
      const image = await imageOf(work, id)
      assert.deepEqual(
        [image.error?.code, image.error?.stage, image.attempts],
        [code, 'claim', attempts],
      )
      assert.ok(!image.error?.detail.includes('x is not'), 'what only the log should say')
      assert.ok(image.next_attempt_at)
      await work.process(imageIds[0]!)
      const ready = await imageOf(work, id)
      assert.deepEqual([ready.status, ready.attempts, ready.error], ['ready', attempts + 1, null])
    }
  })

  test('an attempt whose job cannot be read any more ends with it', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    const imageId = imageIds[0]!
    await work.claim(imageId, 'newer release')
    await sql`UPDATE jobs SET payload = '{}' WHERE key = ${imageId}`.execute(database.db)
    await expireLease(database.db, imageId)
    assert.equal(await work.reap(), 1)
    const image = await imageOf(work, id)
    assert.deepEqual([image.status, image.error?.code], ['failed', 'worker_lost'])
    assert.deepEqual(
      (await work.images.attempts(imageId)).map(({ outcome, code, finished_at }) => [
        outcome,
        code,
        finished_at !== null,
      ]),
      [['failed', 'worker_lost', true]],
    )
  })

  test('a job that cannot be read fails its picture without an attempt', async () => {
    const work = createPictureWork({ database })
    const { id, imageIds } = await startProduct(work)
    await sql`UPDATE jobs SET payload = '{}' WHERE key = ${imageIds[0]}`.execute(database.db)
    const queue = handQueue()
    await using _worker = startWorker(database, { queue, jobs: work.jobs })
    await queue.ring((await readJobOf(database.db, imageIds[0]!)).id)
    const image = await imageOf(work, id)
    assert.deepEqual([image.status, image.error?.code], ['failed', 'worker_lost'])
    assert.deepEqual(await work.images.attempts(imageIds[0]!), [])
  })

  test('what a code allows is used up by failures of that code alone', async () => {
    const originError = new AppError('origin_error', 'The origin answered 503.')
    const outOfMemory = new AppError('render_out_of_memory', 'Decoding took too much memory.')
    const work = createPictureWork({ database })
    const failingBy = async (...errors: AppError[]) => {
      const { imageIds } = await startProduct(work)
      const imageId = imageIds[0]!
      const moves = []
      for (const error of errors) {
        moves.push(await work.fail((await work.claim(imageId))!, error))
      }
      return { imageId, moves }
    }
    const { imageId, moves } = await failingBy(outOfMemory, originError, outOfMemory)
    assert.deepEqual(moves, ['retry_scheduled', 'retry_scheduled', 'dead'])
    await work.images.retry(imageId, context)
    assert.equal(await work.fail((await work.claim(imageId))!, outOfMemory), 'retry_scheduled')
    const { moves: others } = await failingBy(originError, outOfMemory)
    assert.deepEqual(others, ['retry_scheduled', 'retry_scheduled'])
  })

  test('an attempt that is left behind is a failure of the stage that it hangs in', async () => {
    const hanging = [
      ['download', 'download_timeout', 1],
      ['render', 'render_timeout', 1],
      ['store', 'storage_failed', 0],
    ] as const
    for (const [stage, code, attempts] of hanging) {
      const stages: Stages = {
        begin: rowStages(database).begin,
        run: ({ progress }) => {
          progress.enter(stage)
          return Promise.withResolvers<StagesResult>().promise
        },
      }
      const work = createPictureWork({ database, stages })
      const queue = handQueue()
      await using _worker = startWorker(database, {
        queue,
        jobs: bindJobs(bindJob({ ...imageJob, timeoutMs: 20 }, work.handler)),
        settings: { graceMs: 20 },
      })
      const { id, imageIds } = await startProduct(work)
      await queue.ring((await readJobOf(database.db, imageIds[0]!)).id)
      const image = await eventually(async () => {
        const current = await imageOf(work, id)
        assert.equal(current.status, 'retry_scheduled')
        return current
      })
      assert.deepEqual(
        [image.error?.code, image.error?.stage, image.attempts],
        [code, stage, attempts],
      )
    }
  })

  const countRenditions = async (imageId: string) => {
    const { rows } = await sql`
      SELECT FROM renditions WHERE image_id = ${imageId}`.execute(database.db)
    return rows.length
  }
  const eventTypes = async (productId: string) => {
    const { rows } = await sql<{ type: string }>`
      SELECT type FROM events WHERE product_id = ${productId} ORDER BY id`.execute(database.db)
    return rows.map(({ type }) => type)
  }
})

describeOnEachDatabase('the image job with its whole pipeline', (engine) => {
  const stack = new AsyncDisposableStack()
  let database: Database
  let origin: Origin
  let storage: Storage
  let folder: string
  let rendered = 0
  let work: PictureWork
  const lines: Record<string, unknown>[] = []
  before(async () => {
    database = stack.use(await engine.create()).database
    folder = await mkdtemp(join(tmpdir(), 'vitrine-pipeline-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    const picture = await jpeg(1_000, 900, 'olive')
    const other = await jpeg(1_000, 900, 'navy')
    origin = stack.use(
      await startOrigin({ '/a.jpg': picture, '/again.jpg': picture, '/b.jpg': other }),
    )
    storage = stack.use(
      await openStorage({ kind: 'filesystem', directory: join(folder, 'objects') }),
    )
    const spoolDirectory = join(folder, 'spool')
    const children = stack.use(await openTestRenderer({ spoolDirectory }))
    const write = (line: string) => void lines.push(JSON.parse(line))
    const log = pino({ level: 'debug' }, { write })
    work = createPictureWork({
      database,
      spoolDirectory,
      log,
      stages: createStages({
        db: database.db,
        outbound: stack.use(openTestOutbound()),
        renderer: counting(children.renderer),
        storage,
        presets,
        download: { maxBytes: 1_000_000, timeoutMs: 10_000 },
        log,
      }),
    })
  })
  after(() => stack.disposeAsync())

  const counting = (renderer: Renderer): Renderer => ({
    inspect: renderer.inspect,
    render: (...args) => {
      rendered++
      return renderer.render(...args)
    },
    [Symbol.asyncDispose]: renderer[Symbol.asyncDispose],
  })
  const startHandWorker = (): { ring(id: string): Promise<unknown>; worker: Worker } => {
    const queue = handQueue()
    return { ring: queue.ring, worker: startWorker(database, { queue, jobs: work.jobs }) }
  }

  test('G3: a picture whose bell rings at two workers at once, twice each, renders once', async () => {
    const one = startHandWorker()
    const two = startHandWorker()
    await using _one = one.worker
    await using _two = two.worker
    const { id, images } = await work.post([`${origin.url}/a.jpg`])
    const jobId = (await readJobOf(database.db, images[0]!.id)).id
    await Promise.all([one.ring(jobId), two.ring(jobId), one.ring(jobId), two.ring(jobId)])
    const product = await eventually(async () => {
      const current = await work.read(id)
      assert.equal(current.processing_status, 'completed')
      return current
    })
    assert.equal(rendered, 1)
    assert.equal(origin.count('/a.jpg'), 1)
    assert.equal(product.compressed_product_images.length, 1)
    assert.deepEqual(await readAttempts(database.db, images[0]!.id), [
      { number: 1, stage: 'settle', outcome: 'ready', code: null },
    ])
    assert.deepEqual(await versionsTold(database.db, id), [1, 1, 2, 3])
    assert.equal((await filesIn(join(folder, 'objects'))).length, 1)
    assert.deepEqual(await readdir(join(folder, 'spool')), [])
  })

  test('the same source under another URL shares the file, and is not rendered again', async () => {
    const before = rendered
    const { id, images } = await work.post([`${origin.url}/again.jpg`, `${origin.url}/b.jpg`])
    for (const image of images) assert.equal(await work.process(image.id), 'done')
    assert.equal(rendered, before + 1, 'only the picture that is new')
    const product = await work.read(id)
    const [shared, own] = product.images
    assert.deepEqual(
      [shared!.width, shared!.height, shared!.renditions[0]!.width, shared!.renditions[0]!.height],
      [1_000, 900, 667, 600],
    )
    assert.match(shared!.thumbhash ?? '', /.{8,}/)
    assert.notEqual(own!.renditions[0]!.url, shared!.renditions[0]!.url)
    assert.equal((await filesIn(join(folder, 'objects'))).length, 2)
  })

  const keysOf = async (productId: string) => {
    const { images } = await work.read(productId)
    return images.map(({ renditions }) => renditions[0]!.url.replace(/^.*\/media\//, ''))
  }

  test('a file that is lost is made again by a retry, and then for all others that show it', async () => {
    const product = await work.post([`${origin.url}/a.jpg#lost`, `${origin.url}/again.jpg#lost`])
    const [first = '', second = ''] = product.images.map(({ id }) => id)
    await work.process(first)
    await work.process(second)
    const [key = ''] = await keysOf(product.id)
    assert.deepEqual(await keysOf(product.id), [key, key])
    await storage.remove(key)
    lines.length = 0
    const before = rendered
    for (const id of [first, second]) {
      await work.images.retry(id, context)
      assert.equal(await work.process(id), 'done')
    }
    assert.equal(rendered, before + 1)
    const [anew = '', other] = await keysOf(product.id)
    assert.notEqual(anew, key)
    assert.equal(other, anew)
    assert.ok(await storage.open(anew))
    const told = lines.filter(({ msg }) => String(msg).startsWith('a stored file is lost'))
    assert.deepEqual(
      told.map((line) => [line.level, line.key]),
      [[40, key]],
    )
  })

  const failAttempt = async (url: string) => {
    const { images } = await work.post([url])
    const imageId = images[0]!.id
    const job = (await work.claim(imageId))!
    const error = await work.run(job).then(
      () => assert.fail('the attempt succeeded'),
      (error: unknown) => error,
    )
    lines.length = 0
    await work.fail(job, error)
    return (await work.images.attempts(imageId))[0]!
  }

  test('an attempt whose download breaks off shows what the origin answered and how much came', async () => {
    origin.routes['/cut.jpg'] = async (_request, response) => {
      response.writeHead(200, { 'content-length': 200_000 })
      await new Promise((resolve) => response.write(Buffer.alloc(100_000), resolve))
      // What has come is read before the end is noticed.
      await delay(1_000)
      response.destroy()
    }
    const { code, stage, http_status, bytes, timings } = await failAttempt(`${origin.url}/cut.jpg`)
    assert.deepEqual(
      [code, stage, http_status, bytes],
      ['download_truncated', 'download', 200, 100_000],
    )
    assert.deepEqual(Object.keys(timings ?? {}), ['claim', 'download'])
  })

  test('a turn at a child that has to be waited for is no time of the stage', async () => {
    const { images } = await work.post([`${origin.url}/a.jpg#child`])
    await work.process(images[0]!.id)
    const [attempt] = await work.images.attempts(images[0]!.id)
    const { wait, inspect } = attempt?.timings ?? {}
    assert.ok(wait !== undefined && inspect !== undefined, JSON.stringify(attempt?.timings))
  })

  test('why a picture failed is in the log: for debugging when it is the origin, as a warning when it is us', async () => {
    origin.routes['/gone.jpg'] = hangUp()
    await failAttempt(`${origin.url}/gone.jpg?token=secret`)
    const [theirs] = lines
    assert.deepEqual(
      [theirs?.level, theirs?.code, theirs?.stage],
      [20, 'connect_failed', 'download'],
    )
    assert.match(String(theirs?.causes), /^UND_ERR_SOCKET: other side closed/)
    assert.ok(theirs?.image_id)

    await rm(join(folder, 'spool'), { recursive: true })
    await failAttempt(`${origin.url}/a.jpg?token=secret`)
    const [ours] = lines
    assert.deepEqual([ours?.level, ours?.code, ours?.stage], [40, 'storage_failed', 'download'])
    assert.match(String(ours?.causes), /^ENOENT: /)
    assert.doesNotMatch(JSON.stringify(lines), /secret/)
  })

  test('the files that renditions name are there, under a key that tells their type', async () => {
    const { rows } = await sql<{ key: string }>`
      SELECT DISTINCT objects.key FROM renditions JOIN objects ON objects.id = object_id
      WHERE objects.state = 'ready'`.execute(database.db)
    assert.equal(rows.length, 2)
    for (const { key } of rows) {
      const file = await storage.open(key)
      assert.equal(file?.contentType, 'image/jpeg')
    }
  })
})

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}
