// Sweepers among workers, editors and crashes: a published picture always has its file, and in the end
// no file is left that nothing shows.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import { sweepObjects } from '../../src/pipeline/sweep.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { fileStages } from '../support/file-stages.ts'
import {
  createPictureWork,
  expireLease,
  freshUrls,
  type PictureWork,
} from '../support/picture-work.ts'
import { context } from '../support/products.ts'
import { repeatTogether, times } from '../support/repeat-together.ts'

const DURATION_MS = Number(process.env.SWEEP_RACE_MS ?? 6_000)
const contents = Array.from({ length: 30 }, (_, n) => `https://example.com/${n}.jpg`)

/** Where files cost no wait for a disk: what is raced here is rows against files, not disks. */
const MEMORY = '/dev/shm'

class Crash extends Error {}

describeOnPostgres('sweeps among everything else', () => {
  let open: TestDatabase
  let directory: string
  let storage: Storage
  before(async () => {
    open = await postgresEngine.create()
    directory = await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'vitrine-sweep-'))
    storage = await openStorage({ kind: 'filesystem', directory })
  })
  after(async () => {
    await storage[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
    await open[Symbol.asyncDispose]()
  })

  test('what an attempt is just touching is not waited for, and not taken afterwards', async () => {
    const { database } = open
    const work = createPictureWork({ database, stages: fileStages(database, storage) })
    const { id, images } = await work.post(freshUrls(1))
    await work.process(images[0]?.id ?? '')
    await work.products.remove(id, { context })
    await sql`UPDATE objects SET touched_at = now() - interval '1 day'`.execute(database.db)
    const touched = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const attempt = database.transaction(async (tx) => {
      await sql`UPDATE objects SET touched_at = clock_timestamp()`.execute(tx)
      touched.resolve()
      await finish.promise
    })
    await touched.promise
    const swept = sweepObjects({ ...database, storage, graceMs: 60_000 })
    const waited = await Promise.race([swept.then(() => false), sleep(5_000, true)])
    finish.resolve()
    await attempt
    assert.deepEqual([waited, (await swept).files], [false, 0])
    const { rows } = await sql<{ state: string }>`SELECT state FROM objects`.execute(database.db)
    assert.deepEqual(rows, [{ state: 'ready' }])
  })

  test('no picture is ever without its file, and no file stays for ever', async (t) => {
    const { database } = open
    const counts = { settled: 0, refused: 0, dropped: 0, crashed: 0, late: 0, swept: 0 }
    const graceMs = await measureGrace(database, storage)
    // Longer than a late put is late.
    const tombstoneMs = 50 * graceMs
    const latePuts: Promise<void>[] = []
    const stages = fileStages(database, storage, async (moment, key) => {
      if (chance(0.05)) await sleep(about(graceMs))
      if (moment === 'put' || !chance(0.08)) return
      // The worker is gone, and what it had sent on its way arrives.
      const put = sleep(Math.random() * 4 * graceMs).then(() =>
        storage.put(key, Buffer.from('late'), { contentType: 'image/jpeg' }),
      )
      latePuts.push(put)
      counts.late++
      throw new Crash()
    })
    const work = createPictureWork({ database, stages })
    const actors = createActors(work, { counts, graceMs })
    await actors.begin()

    const sweepOnce = async () => {
      const crashing = { remove: removeOrCrash(storage) }
      const options = { ...database, storage: crashing, graceMs, tombstoneMs }
      try {
        counts.swept += (await sweepObjects(options)).files
      } catch (error) {
        if (!isAppError(error, 'storage_failed')) throw error
        counts.crashed++
      }
      await sleep(5)
    }
    const check = async () => {
      await assertFiles(database, storage)
      await sleep(20)
    }
    await repeatTogether({
      durationMs: DURATION_MS,
      counts,
      actors: [
        ...times(8, actors.work),
        ...times(2, actors.edit),
        actors.reap,
        ...times(2, sweepOnce),
        check,
      ],
    })
    await Promise.all(latePuts)
    t.diagnostic(JSON.stringify({ graceMs, ...counts }))
    await assertFiles(database, storage)
    await assertNothingLeft(database, storage)
  })

  test('what is lost meanwhile is made again, and hinders neither settling nor sweeping', async (t) => {
    const { database } = open
    const counts = { settled: 0, refused: 0, dropped: 0, crashed: 0 }
    const losses = { lost: 0, swept: 0, tombstones: 0, shownWithout: 0 }
    const graceMs = await measureGrace(database, storage)
    const patient = removeAfterPuts(storage)
    const stages = fileStages(database, patient, async () => {
      if (chance(0.05)) await sleep(about(graceMs))
    })
    const work = createPictureWork({ database, stages })
    const actors = createActors(work, { counts, graceMs })
    await actors.begin()

    const lose = async () => {
      await sleep(10)
      const { rows } = await sql<{ key: string }>`
        SELECT key FROM renditions JOIN objects ON objects.id = object_id
        WHERE state = 'ready' ORDER BY random() LIMIT 1`.execute(database.db)
      for (const { key } of rows) {
        await storage.remove(key)
        losses.lost++
      }
    }
    const sweepOnce = async () => {
      const options = { ...database, storage: patient, graceMs, tombstoneMs: graceMs }
      const report = await sweepObjects(options)
      losses.swept += report.files
      losses.tombstones += report.tombstones
      losses.shownWithout = Math.max(losses.shownWithout, await countLostShown(database))
      await sleep(5)
    }
    await repeatTogether({
      durationMs: DURATION_MS / 2,
      counts: losses,
      actors: [...times(8, actors.work), actors.edit, actors.reap, ...times(2, sweepOnce), lose],
    })
    t.diagnostic(JSON.stringify({ graceMs, ...counts, ...losses }))

    await actors.finish()
    await assertFiles(database, storage)
    await assertNothingLeft(database, storage)
  })
})

/** Renditions that go on referring to an object whose file was lost. */
async function countLostShown({ db }: Database): Promise<number> {
  const { rows } = await sql`
    SELECT FROM renditions JOIN objects ON objects.id = object_id WHERE state = 'going'`.execute(db)
  return rows.length
}

interface Counts {
  settled: number
  refused: number
  dropped: number
  crashed: number
}

/**
 * Longer than most attempts take on this machine, one beside the other; the slow ones take about as long, and
 * therefore meet the sweep.
 */
async function measureGrace(database: Database, storage: Storage): Promise<number> {
  const work = createPictureWork({ database, stages: fileStages(database, storage) })
  const timed = async (imageId: string) => {
    const started = performance.now()
    await work.process(imageId)
    return performance.now() - started
  }
  const medians: number[] = []
  // The first round opens the sessions.
  for (let round = 0; round < 4; round++) {
    const { id, images } = await work.post(freshUrls(9))
    const took = await Promise.all(images.map((image) => timed(image.id)))
    medians.push(took.toSorted((a, b) => a - b)[4]!)
    await work.products.remove(id, { context })
  }
  return Math.max(60, 1.5 * Math.min(...medians))
}

/** Clients and workers that do anything to anything. */
function createActors(work: PictureWork, { counts, graceMs }: { counts: Counts; graceMs: number }) {
  const { db } = work.database
  const alive = new Map<string, string[]>()
  const remember = (product: { id: string; images: { id: string }[] }) =>
    alive.set(
      product.id,
      product.images.map(({ id }) => id),
    )
  const post = async () => void remember(await work.post(some(contents)))
  const settleOrCrash = async (imageId: string) => {
    const job = await work.claim(imageId)
    if (!job) return
    try {
      const settle = await work.run(job)
      if (chance(0.05)) throw new Crash()
      if (chance(0.2)) await sleep(about(graceMs))
      const outcome = await settle()
      if (outcome === 'done') counts.settled++
      if (outcome === 'dropped') counts.dropped++
    } catch (error) {
      // What the stages threw comes wrapped.
      if (error instanceof Crash || (error as Error).cause instanceof Crash) {
        counts.crashed++
        return await expireLease(db, imageId)
      }
      if (isAppError(error, 'storage_failed')) counts.refused++
      else throw error
      await work.fail(job, error)
      await sql`UPDATE jobs SET due_at = clock_timestamp() WHERE key = ${imageId} AND state = 'pending'`.execute(
        db,
      )
    }
  }
  const change = async (id: string) => {
    try {
      if (chance(0.3)) {
        await work.products.remove(id, { context })
        alive.delete(id)
        return await post()
      }
      const changed = await work.products.patch(id, { product_images: some(contents) }, { context })
      remember(JSON.parse(changed.body.toString()))
    } catch (error) {
      if (!isAppError(error, 'not_found')) throw error
    }
  }
  return {
    begin: async () => {
      for (let n = 0; n < 6; n++) await post()
    },
    work: async () => {
      const imageId = any([...alive.values()].flat())
      if (imageId === undefined) return void (await sleep(5))
      await settleOrCrash(imageId)
    },
    edit: async () => {
      await sleep(5)
      const id = any([...alive.keys()])
      if (id !== undefined) await change(id)
    },
    reap: async () => {
      await work.reap()
      await sleep(20)
    },
    /** Every picture is asked for again, and made. */
    finish: async () => {
      const { rows } = await sql<{ id: string }>`SELECT id FROM images`.execute(db)
      for (const { id: imageId } of rows) {
        await expireLease(db, imageId)
        await work.reap()
        await work.images.retry(imageId, context)
        assert.equal(await work.process(imageId), 'done')
      }
    },
  }
}

/** A sweeper that dies between marking and removing leaves its files for the tombstone's end. */
function removeOrCrash(storage: Storage): Storage['remove'] {
  return async (key) => {
    if (chance(0.05)) throw new AppError('storage_failed', 'the sweeper died')
    await storage.remove(key)
  }
}

/** However slow the disk: no put of a key ends after its file was removed, so tombstones need not last for that. */
function removeAfterPuts(storage: Storage): Pick<Storage, 'put' | 'open' | 'remove'> {
  const underway = new Map<string, Promise<void>>()
  return {
    open: (key) => storage.open(key),
    put: (key, body, options) => {
      const put = storage.put(key, body, options)
      underway.set(key, put)
      return put.finally(() => underway.delete(key))
    },
    remove: async (key) => {
      await underway.get(key)?.catch(() => {})
      await storage.remove(key)
    },
  }
}

/** Every rendition has a `ready` object, and that one its file. */
async function assertFiles({ db }: Database, storage: Storage): Promise<void> {
  const { rows } = await sql<{ image_id: string; key: string; state: string }>`
    SELECT image_id, key, state FROM renditions JOIN objects ON objects.id = object_id`.execute(db)
  assert.deepEqual(
    rows.filter(({ state }) => state !== 'ready'),
    [],
  )
  for (const { image_id, key } of rows) {
    if (await storage.open(key)) continue
    // Dropped since it was read, and swept: that is fine.
    const { rows: still } = await sql`
      SELECT FROM renditions JOIN objects ON objects.id = object_id
      WHERE image_id = ${image_id} AND key = ${key}`.execute(db)
    assert.equal(still.length, 0, `${key} is shown and has no file`)
  }
}

async function assertNothingLeft({ db }: Database, storage: Storage): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await sql`UPDATE objects SET touched_at = clock_timestamp() - interval '1 hour'`.execute(db)
    await sweepObjects({ db, storage, graceMs: 60_000, tombstoneMs: 60_000 })
  }
  const listed = await Array.fromAsync(storage.list(), ({ key }) => key)
  const { rows } = await sql<{ key: string }>`
    SELECT DISTINCT key FROM renditions JOIN objects ON objects.id = object_id`.execute(db)
  assert.deepEqual(listed.sort(), rows.map(({ key }) => key).sort())
  const { rows: unused } = await sql`
    SELECT FROM objects WHERE NOT EXISTS (SELECT FROM renditions WHERE object_id = objects.id)`.execute(
    db,
  )
  assert.equal(unused.length, 0, 'rows without a rendition')
}

function about(ms: number): number {
  return ms * (0.7 + 0.6 * Math.random())
}

function chance(probability: number): boolean {
  return Math.random() < probability
}

function any<T>(list: readonly T[]): T | undefined {
  return list[Math.floor(Math.random() * list.length)]
}

/** One to four, the same one twice at times. */
function some<T>(list: readonly T[]): T[] {
  const count = 1 + Math.floor(Math.random() * 4)
  return Array.from({ length: count }, () => any(list)).filter((one) => one !== undefined)
}
