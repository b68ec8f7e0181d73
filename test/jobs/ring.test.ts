// Which jobs are announced, when, and how many at a time, on every engine.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { ring, unring } from '../../src/jobs/ring.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { addJob, addJobs, age, readJob } from './support.ts'

const ringAgainMs = 15_000

describeOnEachDatabase('ringing', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())
  afterEach(async () => {
    await sql`DELETE FROM jobs`.execute(database.db)
    await sql`UPDATE announcer SET lane = ''`.execute(database.db)
  })

  const ringSome = (window: number) => ring(database, { window, ringAgainMs })
  const lanesOf = async (ids: readonly string[]) => {
    const { rows } = await sql<{ lane: string; n: number }>`
      SELECT lane, count(*) AS n FROM jobs WHERE id = ANY(${ids}::uuid[])
      GROUP BY lane ORDER BY lane`.execute(database.db)
    return Object.fromEntries(rows.map(({ lane, n }) => [lane, n]))
  }
  const finish = (ids: readonly string[]) =>
    sql`
      UPDATE jobs SET state = 'done', finished_at = now(), ring_again_at = NULL
      WHERE id = ANY(${ids}::uuid[])`.execute(database.db)
  /** Rings the bell of the one job that is due, and tells whether it is rung again after so long. */
  const ringOne = async (id: string, againMs: number) => {
    const clock = async () => {
      const { rows } = await sql<{ at: string }>`SELECT clock_timestamp() AS at`.execute(
        database.db,
      )
      return Date.parse(rows[0]!.at)
    }
    const earliest = (await clock()) + againMs
    assert.deepEqual(await ringSome(1), [id])
    const latest = (await clock()) + againMs
    const at = Date.parse((await readJob(database, id)).ring_again_at!)
    assert.ok(at >= earliest && at <= latest, `${at - earliest} ms late`)
  }

  test('a window of jobs is announced and no more, until some of them are claimed', async () => {
    const ids = await addJobs(database, 50)
    const rung = await ringSome(20)
    assert.equal(new Set(rung).size, 20)
    assert.deepEqual(await ringSome(20), [])
    await finish(rung.slice(0, 5))
    const more = await ringSome(20)
    assert.equal(more.length, 5)
    assert.equal(new Set([...rung, ...more]).size, 25)
    assert.ok([...rung, ...more].every((id) => ids.includes(id)))
  })

  test('what is not due, runs, or has ended is not announced', async () => {
    const later = await addJob(database)
    await age(database, later, -60_000)
    const ended = await addJob(database)
    await finish([ended])
    assert.deepEqual(await ringSome(20), [])
    await age(database, later, 60_000)
    assert.deepEqual(await ringSome(20), [later])
  })

  test('a bell that nobody answered is rung again after 15 s, then every 30 s, before any new one', async () => {
    const id = await addJob(database)
    await ringOne(id, 15_000)
    await addJob(database)
    for (const waitMs of [15_000, 30_000, 30_000]) {
      await age(database, id, waitMs - 10_000)
      assert.deepEqual(await ringSome(1), [])
      await age(database, id, 10_000)
      await ringOne(id, 30_000)
    }
    assert.equal((await readJob(database, id)).rings, 4)
  })

  test('a bell that could not be published is as if it had not been rung', async () => {
    const [failed, claimed] = await addJobs(database, 2)
    assert.ok(failed && claimed)
    assert.equal((await ringSome(20)).length, 2)
    await finish([claimed])
    await unring(database.db, [failed, claimed])
    const { ring_again_at, rings } = await readJob(database, failed)
    assert.deepEqual({ ring_again_at, rings }, { ring_again_at: null, rings: 0 })
    assert.deepEqual(await ringSome(20), [failed])
  })

  test('the window is shared evenly between lanes, however long their lines are', async () => {
    await addJobs(database, 100, { lane: 'a' })
    await addJobs(database, 30, { lane: 'b' })
    await addJobs(database, 1, { lane: 'c' })
    assert.deepEqual(await lanesOf(await ringSome(9)), { a: 3, b: 3, c: 1 })
    // What a short line left over is given out in the next round.
    assert.deepEqual(await lanesOf(await ringSome(9)), { a: 1, b: 1 })
    assert.deepEqual(await ringSome(9), [])
  })

  test('with more lanes than room each comes to its turn, and within a lane who waits longest', async () => {
    const first = new Map<string, string>()
    for (const lane of ['a', 'b', 'c', 'd', 'e']) {
      const [oldest, next] = await addJobs(database, 2, { lane })
      await age(database, next!, 1_000)
      first.set(lane, next!)
      assert.ok(oldest)
    }
    const turns: string[] = []
    for (let i = 0; i < 3; i++) {
      const rung = await ringSome(2)
      for (const lane of Object.keys(await lanesOf(rung))) turns.push(lane)
      for (const id of rung) if (i < 2) assert.ok([...first.values()].includes(id))
      await finish(rung)
    }
    assert.deepEqual(turns, ['a', 'b', 'c', 'd', 'a', 'e'])
  })

  // The embedded engine takes five times as long, and shows the same with a fifth of it.
  const scale = engine.name === 'postgres' ? 1 : 0.2
  test(`with a backlog of ${10_000 * scale} no job is rung more than a few times`, async () => {
    const window = 1_000 * scale
    await addJobs(database, 10_000 * scale)
    // Each step is a second of a worker that does 50 jobs in it.
    for (let second = 0; second < 200; second++) {
      await ringSome(window)
      const { rows } = await sql<{ announced: number }>`
        WITH passed AS (
          UPDATE jobs SET ring_again_at = ring_again_at - interval '1 second'
          WHERE state = 'pending' AND ring_again_at IS NOT NULL RETURNING id)
        SELECT count(*) AS announced FROM passed`.execute(database.db)
      assert.ok(rows[0]!.announced <= window)
      await sql`
        UPDATE jobs SET state = 'done', finished_at = now(), ring_again_at = NULL
        WHERE id IN (SELECT id FROM jobs WHERE state = 'pending' AND ring_again_at IS NOT NULL
          ORDER BY due_at LIMIT ${50 * scale})`.execute(database.db)
    }
    const { rows } = await sql<{ most: number; left: number }>`
      SELECT max(rings) AS most, count(*) FILTER (WHERE state <> 'done') AS left FROM jobs`.execute(
      database.db,
    )
    assert.ok(rows[0]!.most <= 3, `rung ${rows[0]!.most} times`)
    assert.equal(rows[0]!.left, 0)
  })
})
