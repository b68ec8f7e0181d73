// What a worker claims and what it leaves, and the leases of what it has claimed, on every engine. Bells are rung
// by hand.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { LeaseLost } from '../../src/jobs/job.ts'
import { reap } from '../../src/jobs/reaper.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { clockPlus, handRung } from './hand-rung.ts'
import {
  aborted,
  addJob,
  age,
  BEFORE_LEASE_ENDS_MS,
  type Recorder,
  readJob,
  record,
  settings,
  silent,
} from './support.ts'

const HOUR_MS = 3_600_000

describeOnEachDatabase('a worker', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const { start, settled } = handRung(() => database)
  const isReapedBy = (recorder: Recorder) =>
    reap({ database, jobs: recorder.jobs, settings, log: silent, random: () => 0.5 })

  describe('a lease', () => {
    test('that was lost cannot settle: no effect, no trace in the row', async () => {
      const { promise: gate, resolve: finish } = Promise.withResolvers<void>()
      let effects = 0
      const recorder = record({
        run: async () => {
          await gate
          return async () => {
            effects++
            return 'done'
          }
        },
      })
      await using worker = start(recorder)
      const id = await addJob(database)
      await worker.ring(id)
      await age(database, id, settings.leaseMs + 1)
      assert.equal(await isReapedBy(recorder), 1)
      const reaped = await readJob(database, id)
      assert.equal(reaped.state, 'pending')
      assert.equal(reaped.error?.code, 'worker_lost')
      assert.equal(reaped.attempts, 1)
      finish()
      await worker.worker.stop({ deadlineMs: 5_000 })
      assert.equal(effects, 0)
      assert.deepEqual(await readJob(database, id), reaped)
    })

    test('that another has aborts the attempt, by the heartbeat', async () => {
      let reason: unknown
      const recorder = record({
        run: async (_job, { signal }) => {
          await aborted(signal)
          reason = signal.reason
          return async () => 'done'
        },
      })
      await using worker = start(recorder, { settings: { heartbeatMs: 20 } })
      const id = await addJob(database)
      await worker.ring(id)
      await sql`
        UPDATE jobs SET claim = gen_random_uuid(), worker = 'another' WHERE id = ${id}`.execute(
        database.db,
      )
      await eventually(() => assert.ok(reason instanceof LeaseLost), BEFORE_LEASE_ENDS_MS)
      await worker.worker.stop({ deadlineMs: 1_000 })
      assert.equal((await readJob(database, id)).worker, 'another')
    })

    test('is extended for as long as the attempt runs', async () => {
      const { promise: gate, resolve: finish } = Promise.withResolvers<void>()
      const recorder = record({
        run: async () => {
          await gate
          return async () => 'done'
        },
      })
      await using worker = start(recorder, { settings: { heartbeatMs: 20 } })
      const id = await addJob(database)
      await worker.ring(id)
      const { lease_until: first } = await readJob(database, id)
      await eventually(async () => {
        const { lease_until: now } = await readJob(database, id)
        assert.ok(now && first && now > first)
      })
      // It would have run out, but the next heartbeat is in time.
      await age(database, id, settings.leaseMs - 1_000)
      await eventually(async () => {
        const { lease_until: now } = await readJob(database, id)
        assert.ok(now && now > (await clockPlus(database, 5_000)))
      })
      finish()
      assert.equal((await settled(id)).state, 'done')
    })
  })

  describe('a claim', () => {
    test('of a payload that does not fit ends the job, and no handler sees it', async () => {
      const recorder = record({ admit: () => assert.fail('asked about a payload it cannot read') })
      await using worker = start(recorder)
      for (const payload of [{}, { n: 'one' }, null, [], 7]) {
        const id = await addJob(database, { payload })
        await worker.ring(id)
        const row = await readJob(database, id)
        assert.equal(row.state, 'dead')
        assert.equal(row.error?.code, 'unreadable_payload')
        assert.deepEqual(recorder.of(id), ['unreadable'])
      }
    })

    test('that its owner cannot follow is a failed attempt, and keeps nothing', async () => {
      const recorder = record({
        onClaimed: async (tx, { id }) => {
          await sql`INSERT INTO users (id) VALUES (${id})`.execute(tx)
          throw new AppError('internal', 'a defect')
        },
      })
      await using worker = start(recorder)
      const id = await addJob(database, { maxAttempts: 2 })
      await worker.ring(id)
      assert.equal((await readJob(database, id)).attempts, 1)
      await age(database, id, HOUR_MS)
      await worker.ring(id)
      const row = await readJob(database, id)
      assert.equal(row.state, 'dead')
      assert.equal(row.error?.code, 'internal')
      assert.deepEqual(recorder.of(id), ['claimed', 'retry_scheduled', 'claimed', 'dead'])
      const { rows } = await sql`SELECT id FROM users WHERE id = ${id}`.execute(database.db)
      assert.deepEqual(rows, [])
    })

    test('that can neither be followed nor failed is put off, with growing waits', async () => {
      const defect = async () => {
        throw new Error('a defect')
      }
      const recorder = record({ onClaimed: defect, onRetryScheduled: defect })
      await using worker = start(recorder, { random: () => 0 })
      const id = await addJob(database)
      for (const [rings, waitMs] of [
        [1, 500],
        [3, 2_000],
        [50, 7_500],
      ] as const) {
        await sql`UPDATE jobs SET due_at = clock_timestamp(), rings = ${rings} WHERE id = ${id}`.execute(
          database.db,
        )
        const earliest = await clockPlus(database, waitMs)
        await worker.ring(id)
        const row = await readJob(database, id)
        assert.equal(row.state, 'pending')
        assert.equal(row.attempts, 0)
        assert.ok(row.due_at >= earliest)
      }
    })

    test('is not taken while the handler has no room: the job waits, uncounted, and is announced again', async () => {
      let hasRoom = false
      let placesLeft = 0
      const recorder = record({
        admit: () => (hasRoom ? { [Symbol.dispose]: () => void placesLeft++ } : undefined),
      })
      await using worker = start(recorder, { random: () => 0 })
      const id = await addJob(database)
      const earliest = await clockPlus(database, 2_000)
      await worker.ring(id)
      const row = await readJob(database, id)
      assert.deepEqual(
        { state: row.state, attempts: row.attempts, ring_again_at: row.ring_again_at },
        { state: 'pending', attempts: 0, ring_again_at: null },
      )
      assert.ok(row.due_at >= earliest)
      assert.deepEqual(recorder.of(id), [])
      hasRoom = true
      await age(database, id, 4_000)
      await worker.ring(id)
      assert.equal((await settled(id)).state, 'done')
      await eventually(() => assert.equal(placesLeft, 1))
    })

    test('that had to wait for room is taken as soon as another attempt has ended', async () => {
      const { promise: gate, resolve: finish } = Promise.withResolvers<void>()
      let places = 1
      const recorder = record({
        admit: () => {
          if (places === 0) return undefined
          places--
          return { [Symbol.dispose]: () => void places++ }
        },
        run: async () => {
          await gate
          return async () => 'done'
        },
      })
      await using worker = start(recorder)
      const [first, second, third] = [
        await addJob(database),
        await addJob(database),
        await addJob(database),
      ]
      // The longest of pauses, which does not end by itself meanwhile.
      await sql`UPDATE jobs SET rings = 9 WHERE id = ${third}`.execute(database.db)
      for (const id of [first, second, third]) await worker.ring(id)
      const { due_at: until } = await readJob(database, third)
      // Put off by somebody else meanwhile: then it is no longer for us to take early.
      await age(database, second, -1)
      finish()
      await eventually(async () => assert.equal((await readJob(database, third)).state, 'done'))
      assert.ok(until > (await clockPlus(database, 0)), 'it was due anyway')
      assert.equal((await readJob(database, second)).state, 'pending')
      await eventually(() => assert.equal(places, 1))
    })

    test('for which room came while it was put off is taken at once', async () => {
      let asked = 0
      const recorder = record({
        admit: () => (asked++ > 0 ? { [Symbol.dispose]: () => {} } : undefined),
      })
      await using worker = start(recorder)
      const id = await addJob(database)
      await sql`UPDATE jobs SET rings = 9 WHERE id = ${id}`.execute(database.db)
      await worker.ring(id)
      await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'), 5_000)
    })

    test('is not taken for a kind of job that nobody here knows', async () => {
      const recorder = record()
      await using worker = start(recorder)
      const id = await addJob(database, { name: 'of.tomorrow' })
      await worker.ring(id)
      const row = await readJob(database, id)
      assert.equal(row.state, 'pending')
      assert.ok(row.due_at > (await clockPlus(database, 25_000)))
    })

    test('is never more than there are places for', async () => {
      const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
      let running = 0
      let most = 0
      const recorder = record({
        run: async ({ payload }) => {
          most = Math.max(most, ++running)
          await gates[payload.n]?.promise
          running--
          return async () => 'done'
        },
      })
      await using worker = start(recorder, { settings: { concurrency: 2 } })
      const ids = await Promise.all(gates.map((_, n) => addJob(database, { payload: { n } })))
      const answered = Promise.all(ids.map((id) => worker.ring(id)))
      await eventually(() => assert.equal(running, 2))
      for (const { resolve } of gates) resolve()
      await answered
      for (const id of ids) assert.equal((await settled(id)).state, 'done')
      assert.equal(most, 2)
    })
  })
})
