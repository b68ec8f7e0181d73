// The sweep as an operator runs it, on the folder of a service that is stopped, and as a service runs it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { utimesSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { migrate } from '../../src/database/migrate.ts'
import { openDatabase } from '../../src/database/open.ts'
import { openStorage } from '../../src/storage/open.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { fileStages } from '../support/file-stages.ts'
import { createPictureWork } from '../support/picture-work.ts'
import { context } from '../support/products.ts'
import { makeDataFolder, startService } from '../support/service.ts'
import { vitrine } from '../support/vitrine.ts'

describe('vitrine storage sweep', () => {
  const stack = new AsyncDisposableStack()
  let folder: string
  /** Keys of a picture that is shown, and of two that nothing uses. */
  let shown: string
  let unused: string[]
  before(async () => {
    folder = stack.use(await makeDataFolder()).path
    const keys = await makeCatalogue(folder)
    shown = keys[0] ?? ''
    unused = keys.slice(1)
  })
  after(() => stack.disposeAsync())

  const sweep = (...options: string[]) =>
    vitrine(['storage', 'sweep', ...options], { env: { DATA_DIR: folder }, cwd: folder })
  const files = () => filesIn(folder)

  test('with --dry-run lists what would go, and removes nothing', async () => {
    const { code, stdout } = await sweep('--dry-run')
    assert.equal(code, 0)
    const lines = stdout.trimEnd().split('\n')
    assert.deepEqual(lines.slice(0, -1).sort(), unused.toSorted())
    assert.equal(lines.at(-1), 'unused files to be removed: 2 (8 bytes)')
    assert.equal((await files()).length, 3)
  })

  test('removes them, and says so to programs as JSON', async () => {
    const { code, stdout } = await sweep('--json')
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(stdout), {
      dry_run: false,
      complete: true,
      unused_files: 2,
      unused_bytes: 8,
      stray_files: null,
    })
    assert.deepEqual(await files(), [shown])
  })

  test('with --deep removes old files that the database does not know', async () => {
    const stray = 'renditions/3f/stray.jpg'
    await putOld(folder, stray)
    const listed = await sweep('--dry-run', '--deep')
    assert.equal(
      listed.stdout,
      `${stray}\nunused files to be removed: 0 (0 bytes), files without a row to be removed: 1\n`,
    )
    assert.equal((await files()).length, 2)
    const { stray_files } = JSON.parse((await sweep('--deep', '--json')).stdout)
    assert.equal(stray_files, 1)
    assert.deepEqual(await files(), [shown])
  })

  describe('told to stop', () => {
    // More names than its output takes while nobody reads.
    const count = 3_000
    const strays = Array.from(
      { length: count },
      (_, at) => `renditions/3f/${'x'.repeat(200)}${at}.jpg`,
    )
    const strayFiles = async () =>
      (await readdir(join(folder, 'objects/renditions/3f'))).filter((name) => name.startsWith('xx'))
    before(async () => {
      // Nothing else is to be told of.
      await sweep()
      await mkdir(join(folder, 'objects/renditions/3f'), { recursive: true })
      const yesterday = new Date(Date.now() - 25 * 60 * 60_000)
      for (const key of strays) {
        writeFileSync(join(folder, 'objects', key), '')
        utimesSync(join(folder, 'objects', key), yesterday, yesterday)
      }
    })
    const stopped = async (...options: string[]) => {
      const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
      const child = spawn(process.execPath, [main, 'storage', 'sweep', '--deep', ...options], {
        env: { PATH: process.env.PATH, DATA_DIR: folder },
        cwd: folder,
      })
      const closed = once(child, 'close')
      await once(child.stdout, 'readable')
      child.kill('SIGTERM')
      const [stdout, stderr, [code]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        closed,
      ])
      assert.deepEqual([code, stderr], [1, 'stopped by SIGTERM\n'])
      const lines = stdout.trimEnd().split('\n')
      const told = lines.filter((line) => line.includes('/xx')).length
      return { told, sentence: lines.at(-1) ?? '' }
    }

    test('with --dry-run --deep ends early, and says that this is not all', async () => {
      const { told, sentence } = await stopped('--dry-run')
      assert.ok(told < count, `${told} files are listed`)
      assert.match(sentence, new RegExp(`^so far, .* files without a row to be removed: ${told}$`))
    })

    test('with --deep removes no other file, and says how many are gone', async () => {
      const { told, sentence } = await stopped()
      assert.ok(told < count, `${told} files are removed`)
      assert.match(sentence, new RegExp(`^so far, .* files without a row removed: ${told}$`))
      assert.equal((await strayFiles()).length, count - told)
    })
  })

  test('with --deep refuses a storage of which the database knows nothing', async () => {
    await using other = await makeDataFolder()
    await using database = await openDatabase({
      engine: 'pglite',
      directory: join(other.path, 'db'),
    })
    await migrate(database)
    await database[Symbol.asyncDispose]()
    await putOld(other.path, 'renditions/3f/precious.jpg')
    const { code, stderr } = await vitrine(['storage', 'sweep', '--deep'], {
      env: { DATA_DIR: other.path },
      cwd: other.path,
    })
    assert.equal(code, 1)
    assert.match(stderr, /knows none of the 1 files in this storage/)
    assert.equal((await readdir(join(other.path, 'objects/renditions/3f'))).length, 1)
  })
})

describeOnPostgres('vitrine storage sweep', () => {
  test('refuses a store that is not the one of the database', async () => {
    await using stack = new AsyncDisposableStack()
    const { database, url = '' } = stack.use(await postgresEngine.create())
    const { path: right } = stack.use(await makeDataFolder({ empty: true }))
    const { path: wrong } = stack.use(await makeDataFolder({ empty: true }))
    const [shown] = await fillCatalogue(database, right)
    const sweep = (DATA_DIR: string) =>
      vitrine(['storage', 'sweep'], { env: { DATABASE_URL: url, DATA_DIR }, cwd: DATA_DIR })
    const { code, stdout, stderr } = await sweep(wrong)
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /the pictures of this database are kept elsewhere/)
    const { rows } = await sql`SELECT FROM objects WHERE state = 'ready'`.execute(database.db)
    assert.equal(rows.length, 3)
    assert.equal((await sweep(right)).stdout, 'unused files removed: 2 (8 bytes)\n')
    assert.deepEqual(await filesIn(right), [shown])
  })

  test('with --deep refuses a store that another database has marked, of which a start warns', async () => {
    await using stack = new AsyncDisposableStack()
    const first = stack.use(await postgresEngine.create())
    const second = stack.use(await postgresEngine.create())
    const { path } = stack.use(await makeDataFolder({ empty: true }))
    await fillCatalogue(first.database, path)
    const envOf = ({ url = '' }: TestDatabase) => ({ DATABASE_URL: url, DATA_DIR: path })
    const start = async (database: TestDatabase) => {
      const service = await startService({ ...envOf(database), ROLE: 'api' })
      await service.stop()
      return service.output()
    }
    const deep = (...options: string[]) =>
      vitrine(['storage', 'sweep', '--deep', ...options], { env: envOf(second), cwd: path })
    const shared = /another database keeps its pictures in .*, by the mark (\.store-[\w-]+): /

    assert.doesNotMatch(await start(first), shared)
    const [, mark = ''] = shared.exec(await start(second)) ?? []
    // One file of its own, or it would be refused for having none.
    const [own = ''] = await fillCatalogue(second.database, path)
    await makeOld(path, own)
    const before = await filesIn(path)
    const { code, stdout, stderr } = await deep()
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, shared)
    assert.deepEqual(await filesIn(path), before)
    assert.equal((await deep('--dry-run')).code, 0)

    await rm(join(path, 'objects', mark))
    assert.equal((await deep()).code, 0)
  })
})

test('a service sweeps by itself, without being told to', async () => {
  await using folder = await makeDataFolder()
  const [shown] = await makeCatalogue(folder.path)
  await using _service = await startService({ DATA_DIR: folder.path })
  await eventually(async () => assert.deepEqual(await filesIn(folder.path), [shown]), 30_000)
})

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'objects'), { recursive: true })
  return names.filter((name) => name.endsWith('.jpg')).sort()
}

/** A folder with three pictures, of which one is shown; returns their keys, the shown one first. */
async function makeCatalogue(folder: string): Promise<string[]> {
  await using database = await openDatabase({ engine: 'pglite', directory: join(folder, 'db') })
  await migrate(database)
  return await fillCatalogue(database, folder)
}

async function fillCatalogue(database: Database, folder: string): Promise<string[]> {
  await using storage = await openStorage({
    kind: 'filesystem',
    directory: join(folder, 'objects'),
  })
  const work = createPictureWork({ database, stages: fileStages(database, storage) })
  const urls = ['a', 'b', 'c'].map((name) => `https://example.com/${name}.jpg`)
  const { id, images } = await work.post(urls)
  for (const image of images) await work.process(image.id)
  const { compressed_product_images } = await work.read(id)
  await work.products.patch(id, { product_images: urls.slice(0, 1) }, { context })
  await sql`UPDATE objects SET touched_at = now() - interval '1 day'`.execute(database.db)
  const keys = compressed_product_images.map((url) => new URL(url).pathname.slice('/media/'.length))
  for (const key of keys.slice(0, 1)) await makeOld(folder, key)
  return keys
}

async function putOld(folder: string, key: string): Promise<void> {
  await using storage = await openStorage({
    kind: 'filesystem',
    directory: join(folder, 'objects'),
  })
  await storage.put(key, Buffer.from('x'), { contentType: 'image/jpeg' })
  await makeOld(folder, key)
}

async function makeOld(folder: string, key: string): Promise<void> {
  const yesterday = new Date(Date.now() - 25 * 60 * 60_000)
  await utimes(join(folder, 'objects', key), yesterday, yesterday)
}
