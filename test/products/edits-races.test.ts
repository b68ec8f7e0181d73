// Editors, workers, retries and a delete of one product at the same moment: the edit with the highest
// version is the product, and what is shown is what its list says.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { AppError, isAppError } from '../../src/errors.ts'
import type { ProductDocument, Representation } from '../../src/products/product.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { createPictureWork, type PictureWork, rendered } from '../support/picture-work.ts'
import { context } from '../support/products.ts'

/** More by hand: EDIT_ROUNDS=500. */
const ROUNDS = Number(process.env.EDIT_ROUNDS ?? 15)
const pool = Array.from({ length: 6 }, (_, n) => `https://example.com/${n}.jpg`)

describeOnPostgres('a product that many change at once', () => {
  let open: TestDatabase
  let work: PictureWork
  before(async () => {
    open = await postgresEngine.create()
    work = createPictureWork(open)
  })
  after(() => open[Symbol.asyncDispose]())

  const parse = ({ body }: Representation): ProductDocument => JSON.parse(body.toString())

  const edit = async (id: string, editor: number, made: ProductDocument[]) => {
    for (let n = 0; n < 4; n++) {
      await sleep(Math.random() * 10)
      const fields = {
        product_name: `by ${editor}, ${n}`,
        product_description: `${editor}.${n}`,
        product_price: editor + n / 100,
        product_images: someOf(pool),
      }
      const edited = parse(await work.products.replace(id, fields, { context }))
      const { product_name, product_images } = edited
      assert.deepEqual(
        [product_name, product_images],
        [fields.product_name, fields.product_images],
        'an edit is answered with what it made',
      )
      made.push(edited)
    }
  }
  /** Any picture that the product ever had. */
  const pictureOf = async (id: string) => {
    const { rows } = await sql<{ key: string }>`
      SELECT key FROM jobs WHERE payload ->> 'productId' = ${id} AND state = 'pending'
      ORDER BY random() LIMIT 1`.execute(open.database.db)
    return rows[0]?.key
  }
  const workOnce = async (id: string): Promise<boolean> => {
    const imageId = await pictureOf(id)
    if (imageId === undefined) return false
    const job = await work.claim(imageId)
    if (!job) return true
    const settle = await work.run(job)
    await sleep(Math.random() * 5)
    if (Math.random() < 0.1) await work.fail(job, new AppError('origin_error', 'again'))
    else assert.ok(await settle())
    return true
  }
  const retryOnce = async (id: string) => {
    const product = parse(await work.products.read(id))
    const image = product.images[Math.floor(Math.random() * product.images.length)]
    if (!image) return
    const retried =
      Math.random() < 0.5
        ? work.images.retry(image.id, context)
        : work.images.retryOfProduct(id, context)
    await retried.catch((error) => {
      if (!isAppError(error, 'conflict', 'not_found')) throw error
    })
  }
  /** Reads again and again; what it saw never goes back and never contradicts itself. */
  const watch = async (id: string, isOver: () => boolean) => {
    let version = 0
    while (!isOver()) {
      const product = await work.products.read(id).then(parse, unlessGone)
      if (!product) return
      assert.ok(product.version >= version, `${product.version} after ${version}`)
      version = product.version
      assertShowsItsList(product)
      await sleep(2)
    }
  }

  test('ends as the last edit made it, with its pictures and no others', async () => {
    let versions = 0
    for (let round = 0; round < ROUNDS; round++) {
      const { id } = await work.post(someOf(pool))
      const made: ProductDocument[] = []
      let over = false
      const until = async (turn: () => Promise<unknown>) => {
        while (!over) {
          await turn()
          await sleep(1)
        }
      }
      const others = [
        ...Array.from({ length: 4 }, () => until(() => workOnce(id))),
        until(() => retryOnce(id)),
        watch(id, () => over),
      ]
      await Promise.all([1, 2, 3].map((editor) => edit(id, editor, made)))
      over = true
      await Promise.all(others)
      while (await workOnce(id));

      const last = made.reduce((one, other) => (one.version > other.version ? one : other))
      const product = await work.read(id)
      for (const field of ['product_name', 'product_description', 'product_price'] as const)
        assert.equal(product[field], last[field])
      assert.deepEqual(product.product_images, last.product_images)
      assert.deepEqual(
        product.images.map((image) => image.id),
        last.images.map((image) => image.id),
      )
      assert.equal(product.processing_status, 'completed')
      assert.equal(product.compressed_product_images.length, product.images.length)
      assertShowsItsList(product)
      assert.equal(new Set(made.map(({ version }) => version)).size, made.length)
      assert.equal((await work.products.read(id)).etag.split('-')[0], `"${made.length + 1}`)
      versions += product.version
    }
    assert.ok(
      versions > ROUNDS * 14,
      `${versions} versions: workers moved between the 12 edits of a round`,
    )
  })

  test('that is deleted meanwhile is gone, and its jobs end', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { id } = await work.post(someOf(pool))
      let over = false
      const busy = [
        ...Array.from({ length: 3 }, async () => {
          while (!over) {
            await workOnce(id)
            await sleep(1)
          }
        }),
        edit(id, 1, []).catch(unlessGone),
        watch(id, () => over),
      ]
      await sleep(Math.random() * 30)
      await work.products.remove(id, { context })
      over = true
      await Promise.all(busy)
      while (await workOnce(id));
      await assert.rejects(work.products.read(id), { code: 'not_found' })
      const { rows } = await sql<{ jobs: number; images: number; after: number }>`
        SELECT (SELECT count(*) FROM jobs WHERE payload ->> 'productId' = ${id} AND state <> 'done') AS jobs,
          (SELECT count(*) FROM images WHERE product_id = ${id}) AS images,
          (SELECT count(*) FROM events WHERE product_id = ${id} AND id > (
            SELECT id FROM events WHERE product_id = ${id} AND type = 'product.deleted')) AS after`.execute(
        open.database.db,
      )
      assert.deepEqual(rows[0], { jobs: 0, images: 0, after: 0 })
    }
  })
})

function unlessGone(error: unknown): undefined {
  if (!isAppError(error, 'not_found')) throw error
}

/** What is shown are the results of the list's own pictures, in its order. */
function assertShowsItsList(product: ProductDocument): void {
  const { images, compressed_product_images, product_images } = product
  assert.deepEqual(
    images.map(({ source_url }) => source_url),
    product_images,
  )
  assert.deepEqual(
    compressed_product_images,
    images.flatMap(({ renditions }) => renditions.map((rendition) => rendition.url)),
  )
  for (const { source_url, renditions } of images) {
    for (const rendition of renditions)
      assert.ok(rendition.url.includes(rendered(source_url).sourceSha256), source_url)
  }
}

/** One to four, the same one twice at times. */
function someOf<T>(all: readonly T[]): T[] {
  const count = 1 + Math.floor(Math.random() * 4)
  return Array.from({ length: count }, () => all[Math.floor(Math.random() * all.length)]).filter(
    (one) => one !== undefined,
  )
}
