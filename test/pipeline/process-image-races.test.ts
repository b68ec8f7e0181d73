// Moves of pictures at the same moment, on a database with many sessions.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import type { ImageJobPayload } from '../../src/images/image-job.ts'
import type { ClaimedJob } from '../../src/jobs/job.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import {
  createPictureWork,
  expireLease,
  freshUrls,
  type PictureWork,
  readJobOf,
  versionsTold,
} from '../support/picture-work.ts'
import { context } from '../support/products.ts'
import { repeatTogether, times } from '../support/repeat-together.ts'

const ROUNDS = 40
const final = new AppError('not_an_image', 'The file is no picture.')
const retryable = new AppError('origin_error', 'The origin answered 500.')

type Claimed = ClaimedJob<ImageJobPayload>

describeOnPostgres('pictures of one product', () => {
  let open: TestDatabase
  let work: PictureWork
  before(async () => {
    open = await postgresEngine.create()
    work = createPictureWork(open)
  })
  after(() => open[Symbol.asyncDispose]())

  test('8 that settle at once lose none, in 200 rounds', async () => {
    for (let round = 0; round < 200; round++) {
      const { id } = await work.post(freshUrls(8))
      const jobs = await work.claimAll(id)
      const settles = await Promise.all(jobs.map((job) => work.run(job)))
      const results = await Promise.all(settles.map((settle) => settle()))
      assert.deepEqual(results, Array(8).fill('done'))

      const product = await work.read(id)
      assert.equal(product.processing_status, 'completed')
      assert.deepEqual(
        product.compressed_product_images,
        product.images.map(({ renditions }) => renditions[0]!.url),
        `round ${round}: complete, and in picture order`,
      )
      assert.equal(new Set(product.compressed_product_images).size, 8)
      // Creation is version 1 of all its events; then 8 settles, one version each.
      const versions = (await versionsTold(open.database.db, id)).slice(8)
      assert.deepEqual(
        versions,
        Array.from({ length: 9 }, (_, n) => n + 1),
      )
    }
  })
})

describeOnPostgres('two moves of one picture at once', () => {
  let open: TestDatabase
  let database: Database
  let work: PictureWork
  before(async () => {
    open = await postgresEngine.create()
    database = open.database
    work = createPictureWork(open)
  })
  after(() => open[Symbol.asyncDispose]())

  const post = async () => (await work.post(freshUrls(1))).images[0]!.id
  const running = async () => (await work.claim(await post()))!
  const retry = (imageId: string) =>
    work.images.retry(imageId, context).then(
      () => 'retried' as const,
      (error) => {
        if (isAppError(error, 'conflict')) return 'conflict' as const
        throw error
      },
    )
  /** One round after another, for the picture or the job that `begin` makes. */
  const race = async <T>(begin: () => Promise<T>, round: (subject: T) => Promise<void>) => {
    for (let n = 0; n < ROUNDS; n++) await round(await begin())
  }
  const retryAll = (productId: string) =>
    work.images.retryOfProduct(productId, context).then(
      () => 'retried' as const,
      (error) => {
        if (isAppError(error, 'conflict', 'not_found')) return error.code
        throw error
      },
    )
  /** A product whose first picture failed, whose second is ready and whose others run. */
  const mixed = async (runningCount: number) => {
    const { id, images } = await work.post(freshUrls(2 + runningCount))
    const [failed, ready, ...others] = images.map((image) => image.id)
    assert.equal(await work.fail((await work.claim(failed!))!, final), 'dead')
    assert.equal(await work.process(ready!), 'done')
    const jobs = await Promise.all(others.map(async (imageId) => (await work.claim(imageId))!))
    return { id, failed: failed!, ready: ready!, jobs }
  }
  const stateOf = async (imageId: string) => (await readJobOf(database.db, imageId)).state

  test('a retry and a claim: the claim is refused, or the retry is, or the claim comes after', async () => {
    await race(post, async (imageId) => {
      const [retried, job] = await together(
        () => retry(imageId),
        () => work.claim(imageId),
      )
      assert.ok(job || retried === 'retried', 'one of them won')
      assert.equal(await stateOf(imageId), job ? 'running' : 'pending')
    })
  })

  test('two claims and a retry of a settled picture: it runs once', async () => {
    const settled = async () => {
      const imageId = await post()
      await work.process(imageId)
      return imageId
    }
    await race(settled, async (imageId) => {
      const [retried, ...jobs] = await together(
        () => retry(imageId),
        () => work.claim(imageId, 'one'),
        () => work.claim(imageId, 'two'),
      )
      assert.equal(retried, 'retried')
      assert.ok(jobs.filter(Boolean).length <= 1)
      assert.equal(await stateOf(imageId), jobs.some(Boolean) ? 'running' : 'pending')
    })
  })

  test('two retries of a failed picture: both are answered, it is queued once', async () => {
    const dead = async () => {
      const job = await running()
      assert.equal(await work.fail(job, final), 'dead')
      return job.payload.imageId
    }
    await race(dead, async (imageId) => {
      const retried = await together(
        () => retry(imageId),
        () => retry(imageId),
      )
      assert.deepEqual(retried, ['retried', 'retried'])
      const { state, attempts } = await readJobOf(database.db, imageId)
      assert.deepEqual([state, attempts], ['pending', 0])
    })
  })

  test('a retry and the settle: refused before it, queued again after it with the result kept', async () => {
    await race(running, async (job) => {
      const settle = await work.run(job)
      const { imageId, productId } = job.payload
      const [retried, settled] = await together(() => retry(imageId), settle)
      assert.equal(settled, 'done')
      assert.equal(await stateOf(imageId), retried === 'retried' ? 'pending' : 'done')
      assert.equal((await work.read(productId)).compressed_product_images.length, 1)
    })
  })

  test('a retry and a failure: refused before it, queued again after it', async () => {
    let fatal = false
    await race(running, async (job) => {
      fatal = !fatal
      const { imageId } = job.payload
      const [retried, ended] = await together(
        () => retry(imageId),
        () => work.fail(job, fatal ? final : retryable),
      )
      assert.equal(ended, fatal ? 'dead' : 'retry_scheduled')
      const state = retried === 'conflict' && fatal ? 'dead' : 'pending'
      assert.equal(await stateOf(imageId), state)
    })
  })

  test('a retry, the reaper and a late settle: the attempt ends once', async () => {
    const lost = async () => {
      const job = await running()
      const settle = await work.run(job)
      await expireLease(database.db, job.payload.imageId)
      return { job, settle }
    }
    await race(lost, async ({ job, settle }) => {
      const { imageId } = job.payload
      const [retried, settled] = await together(
        () => retry(imageId),
        settle,
        () => work.reap(),
        () => work.reap(),
      )
      const { state, attempts } = await readJobOf(database.db, imageId)
      if (settled) assert.equal(state, retried === 'retried' ? 'pending' : 'done')
      else assert.deepEqual([state, attempts], ['pending', 1])
    })
  })

  test('a settle and the deletion of its product or picture: done or dropped, never half', async () => {
    let whole = false
    await race(running, async (job) => {
      whole = !whole
      const { imageId, productId } = job.payload
      const settle = await work.run(job)
      const [settled] = await together(settle, () =>
        whole
          ? sql`DELETE FROM products WHERE id = ${productId}`.execute(database.db)
          : removePicture(database, job),
      )
      const { state, result } = await readJobOf(database.db, imageId)
      assert.deepEqual([state, result], ['done', settled])
      const { rows } = await sql`SELECT FROM renditions WHERE image_id = ${imageId}`.execute(
        database.db,
      )
      assert.equal(rows.length, 0)
    })
  })

  test('a retry and the deletion of its picture: queued and then dropped, or not found', async () => {
    const settled = async () => {
      const job = await running()
      await (await work.run(job))()
      return job
    }
    await race(settled, async (job) => {
      const { imageId } = job.payload
      const [retried] = await together(
        () => retry(imageId).catch((error) => error.code),
        () => removePicture(database, job),
      )
      assert.ok(retried === 'retried' || retried === 'not_found', retried)
      assert.equal(await work.claim(imageId), undefined)
      const { state, result } = await readJobOf(database.db, imageId)
      // Not found may also mean that it went after it was queued and before that was answered.
      const results = retried === 'retried' ? ['dropped'] : ['done', 'dropped']
      assert.ok(
        state === 'done' && results.includes(result ?? ''),
        `${retried}: ${state} ${result}`,
      )
    })
  })

  test('retries of a product and of its picture: all are answered, each picture is queued once', async () => {
    const failed = async () => {
      const { id, images } = await work.post(freshUrls(6))
      for (const image of images) await work.fail((await work.claim(image.id))!, final)
      return { id, imageIds: images.map((image) => image.id) }
    }
    await race(failed, async ({ id, imageIds }) => {
      const retried = await together(
        () => retryAll(id),
        () => retry(imageIds[3]!),
        () => retryAll(id),
        () => retry(imageIds[0]!),
        () => retryAll(id),
      )
      // A conflict is for who came when all of them were queued already.
      const [first, one, second, another, third] = retried
      assert.deepEqual([one, another], ['retried', 'retried'])
      assert.ok([first, second, third].includes('retried'), String(retried))
      assert.deepEqual(
        await Promise.all(imageIds.map(stateOf)),
        imageIds.map(() => 'pending'),
      )
    })
  })

  test('a retry of the product, a settle and a failure: what ran is in one state or the other', async () => {
    const begin = async () => {
      const product = await mixed(2)
      const [settling, failing] = product.jobs
      return { ...product, settling: settling!, failing: failing! }
    }
    let both = 0
    let rounds = 0
    await race(begin, async ({ id, failed, ready, settling, failing }) => {
      const settle = await work.run(settling)
      // A machine may be too slow for each order to come about by chance.
      const isFirst = rounds % 8 === 0
      const isLast = rounds++ % 8 === 1
      const failure = Promise.withResolvers<void>()
      const retry = Promise.withResolvers<void>()
      const [retried, settled, ended] = await together(
        async () => {
          if (isFirst) await failure.promise
          return await retryAll(id).finally(retry.resolve)
        },
        settle,
        async () => {
          if (isLast) await retry.promise
          return await work.fail(failing, final).finally(failure.resolve)
        },
      )
      assert.deepEqual([retried, settled, ended], ['retried', 'done', 'dead'])
      assert.equal(await stateOf(failed), 'pending')
      assert.equal(await stateOf(ready), 'done', 'what is ready is left alone')
      assert.equal(await stateOf(settling.payload.imageId), 'done')
      const state = await stateOf(failing.payload.imageId)
      assert.ok(state === 'dead' || state === 'pending', state)
      if (state === 'pending') both++
      assert.equal((await work.read(id)).compressed_product_images.length, 2)
    })
    assert.ok(both > 0 && both < ROUNDS, `${both}: the failure came before it, and after it`)
  })

  test('a retry of the product and claims of what waits: each picture is claimed or begins anew', async () => {
    const waiting = async () => {
      const { id, images } = await work.post(freshUrls(3))
      for (const image of images) await work.fail((await work.claim(image.id))!, retryable)
      return { id, imageIds: images.map((image) => image.id) }
    }
    await race(waiting, async ({ id, imageIds }) => {
      const [retried, ...jobs] = await together(
        () => retryAll(id),
        ...imageIds.map((imageId) => () => work.claim(imageId)),
      )
      assert.ok(retried === 'retried' || jobs.every(Boolean), String(retried))
      for (const [at, imageId] of imageIds.entries()) {
        assert.equal(await stateOf(imageId), jobs[at] ? 'running' : 'pending')
      }
    })
  })

  test('a retry of the product and an edit of its pictures: those that are left run again', async () => {
    await race(
      () => mixed(0),
      async ({ id, failed }) => {
        const [url] = freshUrls(1)
        const [retried] = await together(
          () => retryAll(id),
          () => work.products.patch(id, { product_images: [url!] }, { context }),
        )
        assert.ok(retried === 'retried' || retried === 'conflict', retried)
        const { images } = await work.read(id)
        assert.deepEqual(
          images.map(({ source_url, status }) => [source_url, status]),
          [[url, 'queued']],
        )
        assert.equal(await work.claim(failed), undefined, 'what is gone is not run')
        assert.equal(await work.process(images[0]!.id), 'done')
      },
    )
  })

  test('a retry of the product and its deletion: it is there and then gone, or not found', async () => {
    await race(
      () => mixed(0),
      async ({ id, failed }) => {
        const [retried] = await together(
          () => retryAll(id),
          () => work.products.remove(id, { context }),
        )
        assert.ok(retried === 'retried' || retried === 'not_found', retried)
        assert.equal(await work.claim(failed), undefined)
        const { rows } = await sql<{ type: string }>`
          SELECT type FROM events WHERE product_id = ${id} ORDER BY id DESC LIMIT 1`.execute(
          database.db,
        )
        assert.equal(rows[0]!.type, 'product.deleted')
      },
    )
  })

  test('and after all of them ledger, pictures, lists and log tell the same story', async () => {
    await assertConsistent(database)
  })
})

describeOnPostgres('all moves of a few pictures at once', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('10 workers, 3 reapers and 5 clients that retry: no deadlock, no attempt ended twice', async () => {
    const { database } = open
    const work = createPictureWork(open)
    const products = await Promise.all([1, 2, 3, 4].map(() => work.post(freshUrls(3))))
    const imageIds = products.flatMap(({ images }) => images.map(({ id }) => id))
    const any = () => imageIds[Math.floor(Math.random() * imageIds.length)]!
    const counts = {
      claims: 0,
      settled: 0,
      failed: 0,
      lost: 0,
      retried: 0,
      retriedAll: 0,
      conflicts: 0,
    }
    const workOnce = async (worker: string) => {
      const job = await work.claim(any(), worker)
      if (!job) return
      counts.claims++
      const chance = Math.random()
      const settle = await work.run(job)
      if (chance < 0.3) await expireLease(database.db, job.payload.imageId)
      if (chance < 0.15) await work.reap()
      const ended = await (chance < 0.7
        ? settle()
        : work.fail(job, chance < 0.85 ? retryable : final))
      if (ended === 'done') counts.settled++
      else if (ended) counts.failed++
      else counts.lost++
    }
    const unlessConflict = async (move: Promise<unknown>, name: 'retried' | 'retriedAll') => {
      try {
        await move
        counts[name]++
      } catch (error) {
        if (!isAppError(error, 'conflict')) throw error
        counts.conflicts++
      }
    }
    const retryOnce = () => unlessConflict(work.images.retry(any(), context), 'retried')
    const retryAllOnce = () => {
      const product = products[Math.floor(Math.random() * products.length)]!
      return unlessConflict(work.images.retryOfProduct(product.id, context), 'retriedAll')
    }
    await repeatTogether({
      durationMs: 3_000,
      counts,
      actors: [
        ...Array.from({ length: 10 }, (_, n) => () => workOnce(`worker-${n}`)),
        ...times(3, work.reap),
        ...times(3, retryOnce),
        ...times(2, retryAllOnce),
      ],
    })
    await assertConsistent(database)
    for (const { id } of products) {
      // Several pictures that are queued again at once are one version.
      const told = await versionsTold(database.db, id)
      const versions = told.filter((version, n) => version !== told[n - 1])
      assert.deepEqual(
        versions,
        versions.map((_, n) => n + 1),
      )
    }
  })
})

/** Longer than any of the moves takes on its way to its first lock. */
const JITTER_MS = 6

/** Starts all of them at about the same moment, in any order. */
function together<const T extends readonly (() => Promise<unknown>)[]>(...moves: T) {
  const begin = async (move: () => Promise<unknown>) => {
    await sleep(JITTER_MS * Math.random())
    return await move()
  }
  return Promise.all(moves.map(begin)) as Promise<{
    [K in keyof T]: Awaited<ReturnType<T[K]>>
  }>
}

/** As a client's edit does it: the product is locked before its pictures. */
async function removePicture(database: Database, { payload }: Claimed): Promise<void> {
  await database.transaction(async (tx) => {
    await sql`SELECT FROM products WHERE id = ${payload.productId} FOR UPDATE`.execute(tx)
    await sql`DELETE FROM images WHERE id = ${payload.imageId}`.execute(tx)
    await sql`
      UPDATE products SET compressed_product_images = '{}', version = version + 1
      WHERE id = ${payload.productId}`.execute(tx)
  })
}

/** What an image may do after what: ends of an attempt follow its beginning, and each but once. */
const followers: Readonly<Record<string, readonly string[]>> = {
  'image.queued': ['image.queued', 'image.processing'],
  'image.processing': ['image.ready', 'image.retry_scheduled', 'image.failed'],
  'image.ready': ['image.queued'],
  'image.retry_scheduled': ['image.queued', 'image.processing'],
  'image.failed': ['image.queued'],
}

/** Ledger, pictures, lists and log tell the same story. */
async function assertConsistent({ db }: Database): Promise<void> {
  const disagreeing = await sql`
    SELECT jobs.state, jobs.attempts AS tried, jobs.due_at, images.* FROM images
    JOIN jobs ON jobs.key = images.id::text
    WHERE images.attempts <> jobs.attempts
      OR (images.status = 'retry_scheduled' AND images.next_attempt_at <> jobs.due_at)
      OR NOT CASE jobs.state WHEN 'pending' THEN images.status IN ('queued', 'retry_scheduled')
        WHEN 'running' THEN images.status = 'processing' WHEN 'done' THEN images.status = 'ready'
        ELSE images.status = 'failed' END`.execute(db)
  assert.deepEqual(disagreeing.rows, [], 'job and picture agree')

  const unlisted = await sql`
    SELECT products.id FROM products
    WHERE compressed_product_images <> ARRAY(
      SELECT '/media/' || objects.key FROM images JOIN renditions ON image_id = images.id
      JOIN objects ON objects.id = object_id
      WHERE product_id = products.id ORDER BY position)`.execute(db)
  assert.deepEqual(unlisted.rows, [], 'the list is what the renditions say')

  const open = await sql`
    SELECT image_id FROM image_attempts JOIN images ON images.id = image_id
    GROUP BY image_id, status
    HAVING count(*) FILTER (WHERE outcome IS NULL) <> CASE status WHEN 'processing' THEN 1 ELSE 0 END
      OR max(number) <> count(*)`.execute(db)
  assert.deepEqual(open.rows, [], 'attempts are numbered on, and only the running one is open')

  const { rows } = await sql<{ types: string[] }>`
    SELECT array_agg(type ORDER BY id) AS types FROM events
    WHERE image_id IS NOT NULL GROUP BY image_id`.execute(db)
  for (const { types } of rows) {
    types.reduce((previous, type) => {
      assert.ok(followers[previous]?.includes(type), `${type} after ${previous}`)
      return type
    })
  }
}
