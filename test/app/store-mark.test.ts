// Which store belongs to a database, on real folders: the one that is marked, or else the one that has its pictures.

import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { sql } from 'kysely'
import {
  adoptStore,
  checkStore,
  claimStore,
  type OpenStore,
  tellOthers,
} from '../../src/app/store-mark.ts'
import type { Database } from '../../src/database/database.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import {
  describeOnPostgres,
  pgliteEngine,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { fileStages } from '../support/file-stages.ts'
import { createPictureWork, freshUrls } from '../support/picture-work.ts'

const elsewhere = /^Error: the pictures of this database are kept elsewhere than in .*storage adopt/

describeOnPostgres('the store of a database', () => {
  let stack: AsyncDisposableStack
  let folder: string
  let database: Database
  let one: OpenStore
  let other: OpenStore
  beforeEach(async () => {
    stack = new AsyncDisposableStack()
    folder = await mkdtemp(join(tmpdir(), 'vitrine-stores-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    database = stack.use(await postgresEngine.create()).database
    one = await openFolder('one', database)
    other = await openFolder('other', database)
  })
  afterEach(() => stack.disposeAsync())

  const openFolder = async (name: string, of: Database): Promise<OpenStore> => {
    const kind = 'filesystem'
    const storage = stack.use(await openStorage({ kind, directory: join(folder, name) }))
    return { database: of, storage, kind }
  }
  const marksIn = async ({ storage }: OpenStore) =>
    (await readdir(storage.place)).filter((name) => name.startsWith('.store-'))
  /** Published before there were marks; returns their keys. */
  const publish = async (storage: Storage, count: number) => {
    const work = createPictureWork({ database, stages: fileStages(database, storage) })
    const { images } = await work.post(freshUrls(count))
    for (const { id } of images) assert.equal(await work.process(id), 'done')
    const { rows } = await sql<{ key: string }>`SELECT key FROM objects`.execute(database.db)
    assert.equal(rows.length, count)
    return rows.map(({ key }) => key)
  }

  test('is the first one of a database without pictures, and no other from then on', async () => {
    await claimStore(one)
    await claimStore(one)
    assert.equal((await marksIn(one)).length, 1)
    await assert.rejects(claimStore(other), elsewhere)
    await assert.rejects(checkStore(other), elsewhere)
    await checkStore(one)
    assert.deepEqual(await marksIn(other), [])
  })

  test('is the one that has its pictures, whoever starts first, and even if most of them are lost', async () => {
    const keys = await publish(one.storage, 5)
    for (const key of keys.slice(1)) await one.storage.remove(key)
    await assert.rejects(claimStore(other), elsewhere)
    assert.deepEqual(await marksIn(other), [])
    const started = await Promise.allSettled([other, one, other].map(claimStore))
    assert.deepEqual(
      started.map(({ status }) => status),
      ['rejected', 'fulfilled', 'rejected'],
    )
    assert.equal((await marksIn(one)).length, 1)
  })

  test('is not found by itself where all pictures are lost: that has to be said', async () => {
    for (const key of await publish(one.storage, 2)) await one.storage.remove(key)
    await assert.rejects(claimStore(one), elsewhere)
    await adoptStore(one)
    await claimStore(one)
  })

  test('is looked for without leaving a mark', async () => {
    await publish(one.storage, 1)
    await checkStore(one)
    await assert.rejects(checkStore(other), elsewhere)
    assert.deepEqual([await marksIn(one), await marksIn(other)], [[], []])
  })

  test('is another one once that is adopted, and the former no more, until it is adopted again', async () => {
    await claimStore(one)
    await adoptStore(other)
    await claimStore(other)
    await assert.rejects(claimStore(one), elsewhere)
    await adoptStore(one)
    await claimStore(one)
    await assert.rejects(claimStore(other), elsewhere)
  })

  test('may be that of another database as well, and either is told of the other’s mark', async () => {
    const second = await openFolder('one', stack.use(await postgresEngine.create()).database)
    await claimStore(one)
    assert.equal(await tellOthers(one), undefined)
    await claimStore(second)
    await checkStore(one)
    const marks = await marksIn(one)
    assert.equal(marks.length, 2)
    const told = [await tellOthers(one), await tellOthers(second)]
    for (const mark of marks) assert.equal(told.filter((text) => text?.includes(mark)).length, 1)
  })

  test('tells of the mark that it had before, where that was copied too', async () => {
    await claimStore(one)
    const [former = ''] = await marksIn(one)
    await copyFile(join(one.storage.place, former), join(other.storage.place, former))
    await adoptStore(other)
    assert.match((await tellOthers(other)) ?? '', new RegExp(former))
    await rm(join(other.storage.place, former))
    assert.equal(await tellOthers(other), undefined)
  })

  test('stays what it was when another could not be marked', async () => {
    await claimStore(one)
    await rm(other.storage.place, { recursive: true })
    await assert.rejects(adoptStore(other), { code: 'storage_failed' })
    await checkStore(one)
  })

  test('cannot be mistaken when the embedded database lies beside its folder', async () => {
    const embedded: TestDatabase = stack.use(await pgliteEngine.create())
    const beside = await openFolder('beside', embedded.database)
    await claimStore(beside)
    await checkStore(beside)
    assert.deepEqual(await marksIn(beside), [])
  })
})
