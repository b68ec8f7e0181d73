// Edits, attempts, failures, retries and a delete of one product in any order, against a model of what
// a client expects: no edit is lost, and no picture is shown that the list does not have.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { sql } from 'kysely'
import { AppError, isAppError } from '../../src/errors.ts'
import { readLogState } from '../../src/events/log.ts'
import type { ImageStatus } from '../../src/images/image.ts'
import type { ImageJobPayload } from '../../src/images/image-job.ts'
import type { ClaimedJob } from '../../src/jobs/job.ts'
import type { ProductPatch, Representation } from '../../src/products/product.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import {
  createPictureWork,
  expireLease,
  type PictureWork,
  readJobOf,
  rendered,
} from '../support/picture-work.ts'
import { context, imageJob, processingStatus } from '../support/products.ts'

/** More by hand: EDIT_RUNS=1000. */
const RUNS = Number(process.env.EDIT_RUNS ?? 30)

describeOnEachDatabase('a product that is edited while its pictures are processed', (engine) => {
  let open: TestDatabase
  let work: PictureWork
  before(async () => {
    open = await engine.create()
    work = createPictureWork(open)
  })
  after(() => open[Symbol.asyncDispose]())

  test('is always what the model says', async () => {
    const property = fc.asyncProperty(
      list,
      fc.array(step, { minLength: 10, maxLength: 40, size: 'max' }),
      async (urls, steps) => {
        const world = await createWorld(work, urls)
        for (const one of steps) {
          await world.take(one)
          await world.check()
        }
        await world.finish()
        await world.check()
      },
    )
    await fc.assert(property, { numRuns: RUNS, endOnFailure: RUNS > 100 })
  })
})

const url = fc.integer({ min: 0, max: 3 }).map((n) => `https://example.com/${n}.jpg`)
const list = fc.array(url, { maxLength: 5 })
const which = fc.nat({ max: 99 })
const changes = fc.record(
  {
    product_name: fc.constantFrom('One', 'Two', 'Three'),
    product_description: fc.constantFrom('', 'Described', null),
    product_price: fc.constantFrom(0, 0.1, 19.99),
    product_images: fc.oneof(
      { weight: 5, arbitrary: list },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
  },
  { requiredKeys: [] },
)

type Step =
  | { kind: 'patch' | 'stale patch' | 'replace'; changes: ProductPatch }
  | { kind: 'claim' | 'store' | 'settle' | 'fail' | 'break' | 'lose' | 'retry'; which: number }
  | { kind: 'delete' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('patch' as const), changes }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('stale patch' as const), changes }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('replace' as const), changes }) },
  {
    weight: 50,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'claim',
        'claim',
        'store',
        'settle',
        'settle',
        'fail',
        'break',
        'lose',
        'retry',
      ),
      which,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'delete' as const }) },
)

interface Picture {
  id: string
  url: string
  status: ImageStatus
  /** Shown, whatever became of it since. */
  hasResult: boolean
  attempts: number
  job: 'pending' | 'running' | 'over'
}

interface Model {
  name: string
  description: string
  price: number
  pictures: Picture[]
  version: number
  edit: number
}

interface Attempt {
  picture: Picture
  job: ClaimedJob<ImageJobPayload>
  settle: (() => Promise<'done' | 'dropped' | undefined>) | undefined
  /** Until somebody else ended it. */
  isOurs: boolean
}

function isSame(one: Model, other: Model): boolean {
  const { name, description, price, pictures } = one
  return (
    name === other.name &&
    description === other.description &&
    price === other.price &&
    pictures.length === other.pictures.length &&
    pictures.every((picture, at) => picture === other.pictures[at])
  )
}

/** Mostly one of those that can move; of all at times, because what cannot must not. */
function pick<T>(all: readonly T[], n: number, can: (one: T) => boolean): T | undefined {
  const movable = all.filter(can)
  const from = n < 75 && movable.length > 0 ? movable : all
  return from[n % from.length]
}

async function createWorld(work: PictureWork, urls: readonly string[]) {
  const { db } = work.database
  const made = await work.post(urls)
  const epoch = (await readLogState(db)).epoch
  const fresh = (id: string, of: string): Picture => ({
    id,
    url: of,
    status: 'queued',
    hasResult: false,
    attempts: 0,
    job: 'pending',
  })
  let model: Model | undefined = {
    name: made.product_name,
    description: made.product_description,
    price: made.product_price,
    pictures: made.images.map(({ id, source_url }) => fresh(id, source_url)),
    version: 1,
    edit: 1,
  }
  const everPosted = [...model.pictures]
  const attempts: Attempt[] = []

  const isShown = (picture: Picture) => model?.pictures.includes(picture) ?? false
  /** A move of a picture that is still in the list is a version. */
  const move = (picture: Picture, status: ImageStatus) => {
    if (!model || !isShown(picture)) return
    picture.status = status
    model.version++
  }

  const edit = async (change: () => Promise<Representation>, fields: ProductPatch) => {
    if (!model) return await assert.rejects(change, { code: 'not_found' })
    const { images } = JSON.parse((await change()).body) as { images: { id: string }[] }
    const { product_name, product_description, product_price, product_images } = fields
    const before = { ...model }
    if (product_name !== undefined) model.name = product_name
    if (product_description !== undefined) model.description = product_description ?? ''
    if (product_price !== undefined) model.price = product_price
    if (product_images !== undefined) {
      const old = [...model.pictures]
      model.pictures = (product_images ?? []).map((wanted, position) => {
        const at = old.findIndex((picture) => picture.url === wanted)
        const [kept] = at < 0 ? [] : old.splice(at, 1)
        const picture = kept ?? fresh(images[position]?.id ?? '', wanted)
        if (!kept) everPosted.push(picture)
        return picture
      })
    }
    // A change that changes nothing is none.
    if (isSame(before, model)) return
    model.version++
    model.edit++
  }

  const claim = async (picture: Picture) => {
    const job = await work.claim(picture.id)
    if (picture.job !== 'pending') return assert.equal(job, undefined)
    picture.job = job ? 'running' : 'over'
    assert.equal(job !== undefined, isShown(picture), 'only what is in the list is worked on')
    if (!job) return
    picture.attempts++
    move(picture, 'processing')
    attempts.push({ picture, job, settle: undefined, isOurs: true })
  }
  const settle = async (attempt: Attempt) => {
    const { picture } = attempt
    attempt.settle ??= await work.run(attempt.job)
    const outcome = await attempt.settle()
    if (!attempt.isOurs) return assert.equal(outcome, undefined, 'a lost attempt settles nothing')
    assert.equal(outcome, isShown(picture) ? 'done' : 'dropped')
    if (isShown(picture)) picture.hasResult = true
    end(attempt, 'ready')
  }
  const end = (attempt: Attempt, status: ImageStatus) => {
    attempt.isOurs = false
    attempt.picture.job = status === 'retry_scheduled' ? 'pending' : 'over'
    move(attempt.picture, status)
  }
  const fail = async (attempt: Attempt, code: 'origin_error' | 'not_an_image') => {
    const outcome = await work.fail(attempt.job, new AppError(code, code))
    if (!attempt.isOurs) return assert.equal(outcome, undefined)
    const isRetried = code === 'origin_error' && attempt.picture.attempts < imageJob.maxAttempts
    assert.equal(outcome, isRetried ? 'retry_scheduled' : 'dead')
    end(attempt, isRetried ? 'retry_scheduled' : 'failed')
  }
  const lose = async (attempt: Attempt) => {
    if (!attempt.isOurs) return
    await expireLease(db, attempt.picture.id)
    await work.reap()
    end(attempt, attempt.picture.attempts < imageJob.maxAttempts ? 'retry_scheduled' : 'failed')
  }
  const retry = async (picture: Picture) => {
    const retried = work.images.retry(picture.id, context)
    if (!isShown(picture)) return await assert.rejects(retried, { code: 'not_found' })
    if (picture.job === 'running') return await assert.rejects(retried, { code: 'conflict' })
    await retried
    if (picture.job === 'over') picture.attempts = 0
    picture.job = 'pending'
    move(picture, 'queued')
  }

  const takeWithPicture = async (kind: string, picture: Picture | undefined) => {
    if (!picture) return
    if (kind === 'claim') await claim(picture)
    else await retry(picture)
  }
  const takeWithAttempt = async (kind: string, attempt: Attempt | undefined) => {
    if (!attempt) return
    if (kind === 'store') attempt.settle ??= await work.run(attempt.job)
    else if (kind === 'settle') await settle(attempt)
    else if (kind === 'fail') await fail(attempt, 'origin_error')
    else if (kind === 'break') await fail(attempt, 'not_an_image')
    else await lose(attempt)
  }

  return {
    take: async (one: Step) => {
      const { products } = work
      switch (one.kind) {
        case 'patch': {
          const expected = [{ edit: model?.edit ?? 1, epoch }]
          await edit(() => products.patch(made.id, one.changes, { context, expected }), one.changes)
          return
        }
        case 'stale patch': {
          const expected = [(model?.edit ?? 1) + 1, 0].map((n) => ({ edit: n, epoch }))
          const refused = products.patch(made.id, one.changes, { context, expected })
          await assert.rejects(refused, { code: model ? 'stale_version' : 'not_found' })
          return
        }
        case 'replace': {
          const { product_name = 'New', product_price = 1, product_images } = one.changes
          const fields = {
            product_name,
            product_price,
            ...(product_images ? { product_images } : {}),
          }
          const all = { ...fields, product_description: '' }
          await edit(() => products.replace(made.id, fields, { context }), all)
          return
        }
        case 'delete':
          if (model) await products.remove(made.id, { context })
          model = undefined
          return
        case 'claim':
        case 'retry':
          await takeWithPicture(
            one.kind,
            pick(
              everPosted,
              one.which,
              (picture) =>
                isShown(picture) && picture.job === (one.kind === 'claim' ? 'pending' : 'over'),
            ),
          )
          return
        default:
          await takeWithAttempt(
            one.kind,
            pick(attempts, one.which, ({ isOurs }) => isOurs),
          )
      }
    },
    /** Every job runs until nothing is left to do. */
    finish: async () => {
      for (const attempt of attempts) if (attempt.isOurs) await settle(attempt)
      for (const picture of everPosted) {
        if (picture.job === 'pending') await claim(picture)
        const attempt = attempts.findLast((one) => one.picture === picture && one.isOurs)
        if (attempt) await settle(attempt)
        const { state, result } = await readJobOf(db, picture.id)
        assert.ok(state === 'done' || state === 'dead', state)
        if (!isShown(picture) && state === 'done')
          assert.ok(result === 'dropped' || picture.hasResult)
      }
    },
    check: async () => await compare(work, made.id, model),
  }
}

async function compare(work: PictureWork, id: string, model: Model | undefined): Promise<void> {
  const found = await work.products.read(id).catch((error) => {
    if (!isAppError(error, 'not_found')) throw error
  })
  if (!model || !found) {
    assert.equal(found, undefined)
    assert.equal(model, undefined)
    return
  }
  const product = JSON.parse(found.body)
  const { pictures } = model
  assert.deepEqual(
    {
      name: product.product_name,
      description: product.product_description,
      price: product.product_price,
      urls: product.product_images,
      images: product.images.map((image: Record<string, unknown>) => [
        image.id,
        image.position,
        image.status,
        image.attempts,
      ]),
      status: product.processing_status,
      version: product.version,
      edit: found.etag.split('-')[0],
    },
    {
      name: model.name,
      description: model.description,
      price: model.price,
      urls: pictures.map((picture) => picture.url),
      images: pictures.map(({ id, status, attempts }, position) => [
        id,
        position,
        status,
        attempts,
      ]),
      status: processingStatus(pictures.map(({ status }) => status)),
      version: model.version,
      edit: `"${model.edit}`,
    },
  )
  const shown: string[] = product.compressed_product_images
  const sources = pictures.filter(({ hasResult }) => hasResult).map((picture) => picture.url)
  assert.equal(shown.length, sources.length)
  sources.forEach((source, at) => {
    assert.ok(
      shown[at]?.includes(rendered(source).sourceSha256),
      `${shown[at]} is not of ${source}`,
    )
  })
  const { rows } = await sql<{ processing_status: string }>`
    SELECT processing_status FROM products WHERE id = ${id}`.execute(work.database.db)
  assert.equal(rows[0]?.processing_status, product.processing_status, 'the stored status')
}
