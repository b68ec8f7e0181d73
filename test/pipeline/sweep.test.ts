// Stored files go once nothing refers to them, and never before, on real databases and a real folder.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { sql } from 'kysely'
import { AppError, isAppError } from '../../src/errors.ts'
import { findStrayFiles } from '../../src/pipeline/stray-files.ts'
import { findUnused, sweepGraceMs, sweepObjects } from '../../src/pipeline/sweep.ts'
import { takeTurn } from '../../src/pipeline/sweep-store.ts'
import type { ProductDocument } from '../../src/products/product.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { fileStages } from '../support/file-stages.ts'
import { createPictureWork, type PictureWork } from '../support/picture-work.ts'
import { context } from '../support/products.ts'

const graceMs = sweepGraceMs({ timeoutMs: 120_000, leaseMs: 20_000 })
const OLD = '2 hours'

describeOnEachDatabase('the sweep of stored files', (engine) => {
  let open: TestDatabase
  let directory: string
  let storage: Storage
  let work: PictureWork
  before(async () => {
    open = await engine.create()
    directory = await mkdtemp(join(tmpdir(), 'vitrine-sweep-'))
    storage = await openStorage({ kind: 'filesystem', directory })
    work = createPictureWork({ ...open, stages: fileStages(open.database, storage) })
  })
  after(async () => {
    await storage[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
    await open[Symbol.asyncDispose]()
  })
  beforeEach(() => sql`UPDATE objects SET touched_at = clock_timestamp()`.execute(open.database.db))

  const sweep = (using: Pick<Storage, 'remove'> = storage) =>
    sweepObjects({ db: open.database.db, storage: using, graceMs })
  const age = (keys: readonly string[], by = OLD) =>
    sql`UPDATE objects SET touched_at = touched_at - ${by}::interval WHERE key = ANY(${keys}::text[])`.execute(
      open.database.db,
    )
  const published = async (...contents: string[]): Promise<ProductDocument> => {
    const { id, images } = await work.post(contents.map((name) => `https://example.com/${name}`))
    for (const image of images) assert.equal(await work.process(image.id), 'done')
    return await work.read(id)
  }
  const keysOf = ({ compressed_product_images }: ProductDocument) =>
    compressed_product_images.map((url) => new URL(url).pathname.replace('/media/', ''))
  const areThere = async (keys: readonly string[]) =>
    await Promise.all(keys.map(async (key) => (await storage.open(key)) !== undefined))
  const stateOf = async (key: string) => {
    const { rows } = await sql<{ state: string }>`
      SELECT state FROM objects WHERE key = ${key}`.execute(open.database.db)
    return rows[0]?.state
  }

  test('a deleted product’s file goes, but not one that another product shows too', async () => {
    const [shared, own] = [randomUUID(), randomUUID()]
    const one = await published(`${shared}.jpg`, `${own}.jpg`)
    const other = await published(`${shared}.jpg`)
    const keys = keysOf(one)
    assert.deepEqual(keysOf(other), [keys[0]])
    await work.products.remove(one.id, { context })
    await age(keys)
    assert.equal((await sweep()).files, 1)
    assert.deepEqual(await areThere(keys), [true, false])

    await work.products.remove(other.id, { context })
    await age(keys)
    assert.equal((await sweep()).files, 1)
    assert.deepEqual(await areThere(keys), [false, false])
  })

  /** Objects that nothing has referred to for long enough. */
  const addUnused = (name: string, count: number) =>
    sql`
      INSERT INTO objects (key, source_sha256, recipe, state, touched_at, width, height, bytes, format, thumbhash)
      SELECT ${name} || '/' || n || '.jpg', repeat('a', 64), ${name} || n, 'ready', now() - ${OLD}::interval,
        1, 1, 1, 'jpeg', ''
      FROM generate_series(1, ${count}::int) AS n`.execute(open.database.db)

  test('one that can remove nothing goes no further', async () => {
    await addUnused('away', 7_000)
    const away = { remove: () => Promise.reject(new AppError('storage_failed', 'It is away.')) }
    await assert.rejects(sweep(away), { code: 'storage_failed' })
    const { rows } = await sql`
      DELETE FROM objects WHERE key LIKE 'away/%' AND state <> 'going' RETURNING id`.execute(
      open.database.db,
    )
    assert.ok(rows.length >= 2_000, String(rows.length))
    await sql`DELETE FROM objects WHERE key LIKE 'away/%'`.execute(open.database.db)
  })

  test('the file of a dropped picture goes, those that stay in the list stay', async () => {
    const product = await published(`${randomUUID()}.jpg`, `${randomUUID()}.jpg`)
    const keys = keysOf(product)
    await work.products.patch(
      product.id,
      { product_images: product.product_images.slice(1) },
      { context },
    )
    await age(keys)
    await sweep()
    assert.deepEqual(await areThere(keys), [false, true])
  })

  test('what an attempt touched a moment ago is left alone, as long as an attempt may last', async () => {
    const product = await published(`${randomUUID()}.jpg`)
    await work.products.remove(product.id, { context })
    const keys = keysOf(product)
    assert.equal((await sweep()).files, 0)
    await age(keys, `${graceMs - 60_000} milliseconds`)
    assert.equal((await sweep()).files, 0)
    assert.deepEqual(await areThere(keys), [true])
    await age(keys, '2 minutes')
    assert.equal((await sweep()).files, 1)
    assert.deepEqual(await areThere(keys), [false])
  })

  test('its row stays an hour: a put that comes late is removed with it', async () => {
    const product = await published(`${randomUUID()}.jpg`)
    const [key = ''] = keysOf(product)
    await work.products.remove(product.id, { context })
    await age([key])
    await sweep()
    assert.equal(await stateOf(key), 'going')
    await storage.put(key, Buffer.from('late'), { contentType: 'image/jpeg' })
    await age([key], '59 minutes')
    assert.equal((await sweep()).tombstones, 0)
    assert.deepEqual(await areThere([key]), [true])
    await age([key], '2 minutes')
    assert.equal((await sweep()).tombstones, 1)
    assert.deepEqual(await areThere([key]), [false])
    assert.equal(await stateOf(key), undefined)
  })

  test('what a crash or an outage left behind is removed by the tombstone’s end', async () => {
    const product = await published(`${randomUUID()}.jpg`, `${randomUUID()}.jpg`)
    const keys = keysOf(product)
    await work.products.remove(product.id, { context })
    await age(keys)
    const failing = {
      remove: async (key: string) => {
        if (key === keys[0]) throw new AppError('storage_failed', 'away')
        await storage.remove(key)
      },
    }
    await assert.rejects(sweep(failing), (error) => isAppError(error, 'storage_failed'))
    assert.deepEqual(await areThere(keys), [true, false], 'one that fails does not keep the others')
    assert.equal((await sweep()).files, 0)
    await age(keys)
    await assert.rejects(sweep(failing), (error) => isAppError(error, 'storage_failed'))
    assert.deepEqual([await stateOf(keys[0]!), await stateOf(keys[1]!)], ['going', undefined])
    assert.equal((await sweep()).tombstones, 1)
    assert.deepEqual(await areThere(keys), [false, false])
  })

  test('an object that is going is never shared: the picture is made again', async () => {
    const content = `${randomUUID()}.jpg`
    const first = await published(content)
    await work.products.remove(first.id, { context })
    await age(keysOf(first))
    await sweep()
    const second = await published(content)
    assert.notDeepEqual(keysOf(second), keysOf(first))
    assert.deepEqual(await areThere(keysOf(second)), [true])
  })

  test('a lost file’s row stays for as long as a picture refers to it, and keeps no other from going', async () => {
    const content = randomUUID()
    const one = await published(`${content}.jpg`)
    const other = await published(`${content}.jpg`, `${randomUUID()}.jpg`)
    const [key = '', dropped = ''] = keysOf(other)
    await storage.remove(key)
    const again = await published(`${content}.jpg`)
    assert.notDeepEqual(keysOf(again), [key])
    assert.deepEqual(await areThere(keysOf(again)), [true])
    await work.products.remove(other.id, { context })
    await age([key, dropped])
    await sweep()
    await age([key, dropped])
    assert.equal((await sweep()).tombstones, 1)
    assert.deepEqual([await stateOf(key), await stateOf(dropped)], ['going', undefined])

    const [image] = one.images
    await work.images.retry(image!.id, context)
    assert.equal(await work.process(image!.id), 'done')
    assert.deepEqual(keysOf(await work.read(one.id)), keysOf(again))
    assert.equal((await sweep()).tombstones, 1)
    assert.equal(await stateOf(key), undefined)
  })

  test('a dry run says what would go, and changes nothing', async () => {
    const product = await published(`${randomUUID()}.jpg`)
    const keys = keysOf(product)
    await work.products.remove(product.id, { context })
    await age(keys)
    const found = (await Array.fromAsync(findUnused(open.database.db, graceMs))).flat()
    assert.deepEqual(
      found.map(({ key }) => key),
      keys,
    )
    assert.deepEqual([await stateOf(keys[0]!), await areThere(keys)], ['ready', [true]])
    await sweep()
    assert.deepEqual(await areThere(keys), [false])
    assert.deepEqual((await Array.fromAsync(findUnused(open.database.db, graceMs))).flat(), [])
  })

  test('more than one slice is swept in one pass, and buried in one', async () => {
    const count = 12_345
    await addUnused('many', count)
    const removed = new Set<string>()
    const recording = { remove: async (key: string) => void removed.add(key) }
    const { files, bytes } = await sweep(recording)
    assert.deepEqual([files, bytes, removed.size], [count, count, count])
    await sql`UPDATE objects SET touched_at = now() - interval '2 hours' WHERE key LIKE 'many/%'`.execute(
      open.database.db,
    )
    assert.equal((await sweep(recording)).tombstones, count)
    const { rows } = await sql`SELECT FROM objects WHERE key LIKE 'many/%'`.execute(
      open.database.db,
    )
    assert.equal(rows.length, 0)
  })

  test('a pass that is ended begins no other file, and the next ones remove the rest', async () => {
    const count = 6_000
    await addUnused('many', count)
    const { db } = open.database
    const looking = new AbortController()
    let slices = 0
    for await (const _slice of findUnused(db, graceMs, looking.signal)) {
      slices++
      looking.abort()
    }
    assert.equal(slices, 1, 'of two')

    const removed = new Set<string>()
    const sweeping = new AbortController()
    const remove = async (key: string) => {
      removed.add(key)
      if (removed.size === 1_000) sweeping.abort()
    }
    const options = { db, storage: { remove }, graceMs }
    const { files } = await sweepObjects({ ...options, signal: sweeping.signal })
    assert.deepEqual([files, removed.size], [1_000, 1_000])
    await sweepObjects(options)
    await sql`UPDATE objects SET touched_at = now() - interval '2 hours' WHERE key LIKE 'many/%'`.execute(
      db,
    )
    const { tombstones } = await sweepObjects(options)
    assert.deepEqual([tombstones, removed.size], [count, count])
  })

  test('one of all workers sweeps, once in its time', async () => {
    const { db } = open.database
    await sql`UPDATE object_sweep SET next_at = clock_timestamp()`.execute(db)
    const ask = () => Promise.all(Array.from({ length: 20 }, () => takeTurn(db, 3_600_000)))
    assert.equal((await ask()).filter(Boolean).length, 1)
    assert.equal((await ask()).filter(Boolean).length, 0)
    await sql`UPDATE object_sweep SET next_at = next_at - interval '1 hour'`.execute(db)
    assert.equal((await ask()).filter(Boolean).length, 1)
  })

  test('files without a row are found once they are older than a day', async () => {
    const product = await published(`${randomUUID()}.jpg`)
    const strays = ['renditions/3f/old.jpg', 'renditions/3f/young.jpg']
    for (const key of strays)
      await storage.put(key, Buffer.from('x'), { contentType: 'image/jpeg' })
    const yesterday = new Date(Date.now() - 25 * 60 * 60_000)
    for (const key of [strays[0]!, ...keysOf(product)])
      await utimes(join(directory, key), yesterday, yesterday)
    const batches = await Array.fromAsync(findStrayFiles({ db: open.database.db, storage }))
    assert.deepEqual(
      batches.flatMap((batch) => batch.strays),
      [strays[0]],
    )
    assert.equal(
      batches.reduce((sum, { files }) => sum + files, 0),
      2,
    )
  })

  test('a walk over the files that is ended looks at no other', async () => {
    const walking = new AbortController()
    let listed = 0
    async function* list() {
      for (; listed < 5_000; listed++) {
        if (listed === 1_500) walking.abort()
        yield { key: `renditions/3f/${listed}.jpg`, putAt: new Date(0) }
      }
    }
    const { db } = open.database
    const batches = await Array.fromAsync(
      findStrayFiles({ db, storage: { list }, signal: walking.signal }),
    )
    assert.deepEqual([batches.map(({ files }) => files), listed], [[1_000], 1_500])
  })
})
