// Stored files and what refers to them: no rendition without a file, whoever settles, sweeps or dies at
// the same moment. The sweep is played here, as the adversary that it is to an attempt.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database, Tx } from '../../src/database/database.ts'
import { AppError, isAppError } from '../../src/errors.ts'
import { lockProduct } from '../../src/images/product-change.ts'
import { findShared, reserve, settleObjects } from '../../src/pipeline/objects.ts'
import { type Preset, presets } from '../../src/pipeline/presets.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { handQueue, startWorker } from '../jobs/support.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  createPictureWork,
  freshUrls,
  readAttempts,
  readJobOf,
  rendered,
  rowStages,
  silent,
} from '../support/picture-work.ts'
import { repeatTogether, times } from '../support/repeat-together.ts'

const small: Preset = { name: 'small', format: 'jpeg', width: 80, height: 60, quality: 75 }
const two = [...presets, small]

/** A picture of this content in both sizes. */
function renderedTwice(content: string): ReturnType<typeof rendered> {
  const { files, ...rest } = rendered(content)
  return { ...rest, files: two.flatMap(({ name }) => files.map((f) => ({ ...f, preset: name }))) }
}

/** A storage of which only is asked whether it has a file. */
function filesWhere(isThere: (key: string) => boolean): Pick<Storage, 'open'> {
  const file = { size: 4, contentType: 'image/jpeg', read: async function* () {} }
  return { open: async (key) => (isThere(key) ? file : undefined) }
}

interface ObjectRow {
  id: string
  key: string
  state: string
  touched_at: string
}

describeOnEachDatabase('objects', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const objectsOf = async (content: string) => {
    const { rows } = await sql<ObjectRow>`
      SELECT id, key, state, touched_at FROM objects
      WHERE source_sha256 = ${rendered(content).sourceSha256} ORDER BY state, key`.execute(
      database.db,
    )
    return rows
  }
  const reserveBoth = (content: string) => reserve(database.db, renderedTwice(content), two)
  const settleBoth = (used: readonly { id: string; preset: string }[]) =>
    database.transaction((tx) => settleObjects(tx, used, two))
  const lost = new Set<string>()
  const shareBoth = (content: string) => {
    const files = { db: database.db, storage: filesWhere((key) => !lost.has(key)), log: silent }
    return findShared(files, rendered(content).sourceSha256, two)
  }
  const sweepAway = (id: string) =>
    sql`UPDATE objects SET state = 'going' WHERE id = ${id}`.execute(database.db)

  test('are reserved under keys that never come back, and settled under them', async () => {
    const content = randomUUID()
    const reserved = await reserveBoth(content)
    const again = await reserveBoth(content)
    assert.equal(new Set([...reserved, ...again].map(({ key }) => key)).size, 4)
    assert.deepEqual(
      (await objectsOf(content)).map(({ state }) => state),
      ['storing', 'storing', 'storing', 'storing'],
    )

    const settled = await settleBoth(reserved)
    const rows = await objectsOf(content)
    for (const { preset, key } of reserved) {
      const id = settled.find((object) => object.preset === preset)?.objectId
      assert.deepEqual(
        rows.filter((row) => row.key === key).map((row) => [row.id, row.state]),
        [[id, 'ready']],
      )
    }
    assert.equal(rows.length, 4, 'the other attempt is not touched')
  })

  test('that another attempt settled first are taken from it', async () => {
    const content = randomUUID()
    const loser = await reserveBoth(content)
    const winner = await settleBoth(await reserveBoth(content))
    const { sourceSha256 } = rendered(content)
    await sql`UPDATE objects SET touched_at = '2001-01-01' WHERE source_sha256 = ${sourceSha256}`.execute(
      database.db,
    )
    const byPreset = (a: { preset: string }, b: { preset: string }) =>
      a.preset.localeCompare(b.preset)
    assert.deepEqual((await settleBoth(loser)).toSorted(byPreset), winner.toSorted(byPreset))
    const left = (await objectsOf(content)).filter(({ state }) => state === 'storing')
    assert.deepEqual(
      left.map(({ key }) => key),
      loser.map(({ key }) => key).sort(),
      'its own files are for the sweep',
    )
    const ready = (await objectsOf(content)).filter(({ state }) => state === 'ready')
    assert.equal(ready.length, 2)
    for (const { touched_at } of ready) assert.ok(touched_at > '2020', 'the sweep keeps off')
  })

  test('are shared when every preset is there, and touched by that', async () => {
    const content = randomUUID()
    const { sourceSha256, thumbhash } = rendered(content)
    const share = () => shareBoth(content)
    assert.equal(await share(), undefined)
    const reserved = await reserveBoth(content)
    assert.equal(await share(), undefined, 'a file that may not be there yet')
    const settled = await settleBoth(reserved)
    await sql`UPDATE objects SET touched_at = '2001-01-01' WHERE source_sha256 = ${sourceSha256}`.execute(
      database.db,
    )
    const shared = await share()
    assert.deepEqual(
      new Map(shared?.map((object) => [object.preset, object.id])),
      new Map(settled.map((object) => [object.preset, object.objectId])),
    )
    assert.deepEqual(new Set(shared?.map((object) => object.thumbhash)), new Set([thumbhash]))
    for (const { touched_at } of await objectsOf(content)) assert.ok(touched_at > '2020')

    await sweepAway(shared![0]!.id)
    assert.equal(await share(), undefined, 'one is missing')
  })

  test('of which one has lost its file are shared no more, and that one is made again', async () => {
    const content = randomUUID()
    await settleBoth(await reserveBoth(content))
    const before = await shareBoth(content)
    const [gone, kept] = (await objectsOf(content)).map(({ key }) => key)
    lost.add(gone!)
    assert.equal(await shareBoth(content), undefined)
    assert.deepEqual(
      (await objectsOf(content)).map(({ key, state }) => [key, state]),
      [
        [gone, 'going'],
        [kept, 'ready'],
      ],
    )
    await assert.rejects(settleBoth(before!), { code: 'storage_failed' })

    const again = await reserveBoth(content)
    const settled = await settleBoth(again)
    const ready = (await objectsOf(content)).filter(({ state }) => state === 'ready')
    assert.deepEqual(new Set(ready.map(({ id }) => id)), new Set(settled.map((s) => s.objectId)))
    assert.ok(!ready.some(({ key }) => key === gone))
    assert.ok(ready.some(({ key }) => key === kept))
    assert.equal((await shareBoth(content))?.length, 2)
  })

  test('that are not all there are looked for all the same: settling must not take a lost one', async () => {
    const content = randomUUID()
    const { sourceSha256, ...one } = rendered(content)
    const [first] = await reserve(database.db, { sourceSha256, ...one }, presets)
    await database.transaction((tx) => settleObjects(tx, [first!], presets))
    lost.add(first!.key)
    assert.equal(await shareBoth(content), undefined)
    await settleBoth(await reserveBoth(content))
    const shown = (await objectsOf(content)).filter(({ state }) => state === 'ready')
    assert.equal(shown.length, 2)
    assert.ok(!shown.some(({ key }) => key === first!.key))
  })

  test('of which it cannot be told whether they are there stay as they are', async () => {
    const content = randomUUID()
    await settleBoth(await reserveBoth(content))
    const away = new AppError('storage_failed', 'away')
    const files = {
      db: database.db,
      storage: { open: () => Promise.reject(away) },
      log: silent,
    }
    await assert.rejects(findShared(files, rendered(content).sourceSha256, two), away)
    assert.equal((await shareBoth(content))?.length, 2)
  })

  test('of which the sweep took one fail the settle, reserved and shared ones alike', async () => {
    const content = randomUUID()
    const reserved = await reserveBoth(content)
    await sweepAway(reserved[1]!.id)
    await assert.rejects(settleBoth(reserved), { code: 'storage_failed' })
    assert.deepEqual(
      (await objectsOf(content)).map(({ state }) => state),
      ['going', 'storing'],
      'nothing of it stays',
    )

    await settleBoth(await reserveBoth(content))
    const shared = await shareBoth(content)
    await sweepAway(shared![0]!.id)
    await assert.rejects(settleBoth(shared!), { code: 'storage_failed' })
    // A new attempt makes it again, beside what is left of the old one.
    assert.equal((await settleBoth(await reserveBoth(content))).length, 2)
  })

  test('that are swept before the settle cost the picture no attempt', async () => {
    let sweeps = 0
    const real = rowStages(database)
    const stages: typeof real = {
      ...real,
      run: async (attempt) => {
        const result = await real.run(attempt)
        if (sweeps++ === 0) await sweepAway(result.objects[0]!.id)
        return result
      },
    }
    const work = createPictureWork({ database, stages })
    const { id, images } = await work.post(freshUrls(1))
    const imageId = images[0]!.id
    const job = await readJobOf(database.db, imageId)
    const queue = handQueue()
    await using _worker = startWorker(database, { queue, jobs: work.jobs, random: () => 0 })
    await queue.ring(job.id)
    await eventually(async () =>
      assert.equal((await work.read(id)).images[0]!.error?.code, 'storage_failed'),
    )
    const { state, attempts, uncounted } = await readJobOf(database.db, imageId)
    assert.deepEqual([state, attempts, uncounted], ['pending', 0, 1])
    await queue.ring(job.id)
    const image = await eventually(async () => {
      const [current] = (await work.read(id)).images
      assert.equal(current!.status, 'ready')
      return current!
    })
    assert.deepEqual([image.attempts, image.error], [1, null])
    assert.deepEqual(
      (await readAttempts(database.db, imageId)).map(({ stage, code }) => [stage, code]),
      [
        ['settle', 'storage_failed'],
        ['settle', null],
      ],
    )
  })
})

describeOnPostgres('objects under attempts, sweeps and crashes at once', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  const DURATION_MS = 3_000
  /** Longer than a settle; shorter than the slowest attempts here, which therefore meet the sweep. */
  const GRACE_MS = 300
  const SLOW_MS = 450
  const contents = Array.from({ length: 40 }, () => randomUUID())

  test('a settle that meets a sweep waits for it, and fails when it lost its object to it', async () => {
    const { database } = open
    for (const outcome of ['commit', 'rollback'] as const) {
      const reserved = await reserve(database.db, renderedTwice(randomUUID()), two)
      const marked = Promise.withResolvers<void>()
      const hold = Promise.withResolvers<void>()
      const sweeping = database.transaction(async (tx) => {
        await sql`UPDATE objects SET state = 'going' WHERE id = ${reserved[0]!.id}`.execute(tx)
        marked.resolve()
        await hold.promise
        if (outcome === 'rollback') throw new Crash()
      })
      await marked.promise
      const settling = database.transaction((tx) => settleObjects(tx, reserved, two))
      const settled = settling.then(
        () => 'settled',
        (error) => error.code,
      )
      await Promise.race([settled, somebodyWaits(database)])
      hold.resolve()
      await sweeping.catch(() => {})
      assert.equal(await settled, outcome === 'commit' ? 'storage_failed' : 'settled')
    }
  })

  test('no rendition is ever without its file, and nobody hears of a conflict', async () => {
    const { database } = open
    const { db } = database
    const work = createPictureWork(open)
    const products = await Promise.all(Array.from({ length: 6 }, () => work.post(freshUrls(5))))
    const pictures = products.flatMap(({ id, images }) =>
      images.map((image) => ({ productId: id, imageId: image.id })),
    )
    const files = new Set<string>()
    const counts = { settled: 0, adopted: 0, shared: 0, swept: 0, gone: 0, crashed: 0, deleted: 0 }
    const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!
    const crashesAt = (step: number) => Math.random() < 0.04 * step
    const pause = () => sleep(Math.random() < 0.03 ? SLOW_MS : Math.random() * 5)

    const store = async (content: string) => {
      const stored = { db, storage: filesWhere((key) => files.has(key)), log: silent }
      const shared = await findShared(stored, rendered(content).sourceSha256, two)
      if (shared) {
        counts.shared++
        return shared
      }
      const reserved = await reserve(db, renderedTwice(content), two)
      await pause()
      for (const { key } of reserved) {
        if (crashesAt(1)) return undefined
        files.add(key)
      }
      return reserved
    }
    const publish = (used: readonly { id: string; preset: string }[]) =>
      database.transaction(async (tx) => {
        const { productId, imageId } = any(pictures)
        await lockProduct(tx, productId)
        const objects = await settleObjects(tx, used, two)
        for (const { preset, objectId } of objects) {
          await writeRendition(tx, { imageId, preset, objectId })
        }
        if (crashesAt(2)) throw new Crash()
        return objects.filter(({ objectId }) => !used.some(({ id }) => id === objectId))
      })
    const attempt = async () => {
      const used = await store(any(contents))
      if (!used) return void counts.crashed++
      await pause()
      try {
        const others = await publish(used)
        counts.settled++
        // Settling gives a reserved object a new row; one that is somebody else's has another key.
        if (others.length > 0 && (await isStoring(used[0]!.id))) counts.adopted++
      } catch (error) {
        if (error instanceof Crash) counts.crashed++
        else if (isAppError(error, 'storage_failed')) counts.gone++
        else throw error
      }
    }
    const isStoring = async (id: string) => {
      const { rows } = await sql`
        SELECT FROM objects WHERE id = ${id} AND state = 'storing'`.execute(db)
      return rows.length === 1
    }
    const forget = async () => {
      await sleep(10)
      const { rows } = await sql`
        DELETE FROM renditions WHERE image_id = ${any(pictures).imageId} RETURNING 1`.execute(db)
      counts.deleted += rows.length
    }
    const sweep = async () => {
      await sleep(10)
      for (const key of await markGoing(database, GRACE_MS)) {
        counts.swept++
        files.delete(key)
      }
      await removeTombstones(database, 2 * GRACE_MS)
    }
    const check = async () => {
      await sleep(20)
      assert.deepEqual(await brokenRenditions(database), [])
    }

    await repeatTogether({
      durationMs: DURATION_MS,
      counts,
      actors: [...times(10, attempt), ...times(2, sweep), forget, check],
    })
    assert.deepEqual(await brokenRenditions(database), [])
    const { rows } = await sql<{ key: string }>`
      SELECT key FROM renditions JOIN objects ON objects.id = object_id`.execute(db)
    assert.deepEqual(
      rows.filter(({ key }) => !files.has(key)),
      [],
    )
  })
})

/** Resolves once a session of this database waits for a lock. */
async function somebodyWaits({ db }: Database): Promise<void> {
  await eventually(async () => {
    const { rows } = await sql`
      SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(db)
    assert.ok(rows.length > 0)
  })
}

class Crash extends Error {}

async function writeRendition(
  tx: Tx,
  { imageId, preset, objectId }: { imageId: string; preset: string; objectId: string },
): Promise<void> {
  await sql`
    INSERT INTO renditions (image_id, preset, object_id) VALUES (${imageId}, ${preset}, ${objectId})
    ON CONFLICT (image_id, preset) DO UPDATE SET object_id = excluded.object_id`.execute(tx)
}

/** What no rendition refers to, and nobody touched for so long. The conditions are repeated where rows are locked. */
async function markGoing({ db }: Database, graceMs: number): Promise<string[]> {
  const isOld = sql`touched_at < clock_timestamp() - ${graceMs}::float8 * interval '1 millisecond'`
  const { rows } = await sql<{ key: string }>`
    UPDATE objects SET state = 'going', touched_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM objects WHERE state <> 'going' AND ${isOld}
          AND NOT EXISTS (SELECT FROM renditions WHERE object_id = objects.id)
        ORDER BY id LIMIT 20)
      AND state <> 'going' AND ${isOld}
    RETURNING key`.execute(db)
  return rows.map(({ key }) => key)
}

async function removeTombstones({ db }: Database, ageMs: number): Promise<void> {
  await sql`
    DELETE FROM objects WHERE state = 'going'
      AND touched_at < clock_timestamp() - ${ageMs}::float8 * interval '1 millisecond'`.execute(db)
}

async function brokenRenditions({ db }: Database): Promise<unknown[]> {
  const { rows } = await sql`
    SELECT renditions.*, objects.state FROM renditions LEFT JOIN objects ON objects.id = object_id
    WHERE objects.state IS DISTINCT FROM 'ready'`.execute(db)
  return rows
}
