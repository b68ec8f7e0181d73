// What becomes of an attempt that fails or takes too long, on every engine. Bells are rung by hand.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { type FailureRule, JobTimeout } from '../../src/jobs/job.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { clockPlus, fails, handRung } from './hand-rung.ts'
import { aborted, addJob, age, readJob, record } from './support.ts'

const HOUR_MS = 3_600_000
const ours: FailureRule = { retryable: true, counts: false }
const final: FailureRule = { retryable: false, counts: true }
const retried: FailureRule = { retryable: true, counts: true }

interface Failure {
  code: string
  rule: FailureRule
}

const outOfMemory: Failure = { code: 'render_out_of_memory', rule: { ...retried, maxFailures: 2 } }
const unknownHost: Failure = { code: 'dns_failed', rule: { ...retried, maxFailures: 3 } }
const lookupTimeout: Failure = { code: 'dns_failed', rule: retried }
const originError: Failure = { code: 'origin_error', rule: retried }

describeOnEachDatabase('a worker', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const { start, settled, attemptOnce } = handRung(() => database)

  /** A job with attempts enough fails so, one after the other: its states after each. */
  const statesAfter = async (...failures: Failure[]) => {
    const upcoming = [...failures]
    const recorder = record({
      run: fails('worker_lost'),
      classify: () => {
        const { code, rule } = upcoming.shift()!
        return { failure: { code, detail: 'in a test', retryable: true }, rule }
      },
    })
    await using worker = start(recorder)
    const id = await addJob(database, { maxAttempts: 8 })
    const states: string[] = []
    for (const [n] of failures.entries()) {
      await worker.ring(id)
      const { state } = await eventually(async () => {
        const row = await readJob(database, id)
        assert.deepEqual([row.attempts, row.claim], [n + 1, null])
        return row
      })
      states.push(state)
      await age(database, id, HOUR_MS)
    }
    return states
  }

  describe('a failed attempt', () => {
    test('is due again when the backoff says so, by the clock of the database', async () => {
      const recorder = record({ run: fails('origin_error') })
      await using worker = start(recorder, { random: () => 0.5 })
      const id = await addJob(database)
      for (const waitMs of [1_000, 3_000]) {
        const earliest = await clockPlus(database, waitMs)
        await worker.ring(id)
        const row = await settled(id)
        assert.ok(row.due_at >= earliest, `${row.due_at} < ${earliest}`)
        assert.ok(row.due_at <= (await clockPlus(database, waitMs)), `${row.due_at} is late`)
        assert.equal(row.ring_again_at, null)
        assert.equal(row.error?.code, 'origin_error')
        await age(database, id, waitMs)
      }
      assert.equal((await readJob(database, id)).attempts, 2)
    })

    test('that was the last one allowed ends the job, and its owner hears of it in the same transaction', async () => {
      const recorder = record({
        run: fails('origin_error'),
        onDead: async (tx, { id }) => {
          const { rows } = await sql`SELECT state FROM jobs WHERE id = ${id}`.execute(tx)
          assert.deepEqual(rows, [{ state: 'dead' }])
          await sql`INSERT INTO users (id) VALUES (${id})`.execute(tx)
        },
      })
      await using worker = start(recorder)
      const id = await addJob(database, { maxAttempts: 2 })
      await worker.ring(id)
      await settled(id)
      await age(database, id, HOUR_MS)
      await worker.ring(id)
      const row = await eventually(async () => {
        const found = await readJob(database, id)
        assert.equal(found.state, 'dead')
        return found
      })
      assert.deepEqual(recorder.of(id), [
        'claimed',
        'run',
        'retry_scheduled',
        'claimed',
        'run',
        'dead',
      ])
      assert.match(row.death ?? '', /^[0-9a-f-]{36}$/)
      assert.ok(row.finished_at)
      assert.equal(row.attempts, 2)
      const { rows } = await sql`SELECT id FROM users WHERE id = ${id}`.execute(database.db)
      assert.equal(rows.length, 1)
    })

    test('of a code with fewer attempts ends the job when it had as many of this code', async () => {
      assert.deepEqual(await statesAfter(outOfMemory, originError, outOfMemory), [
        'pending',
        'pending',
        'dead',
      ])
    })

    test('of a code with fewer attempts is followed by another when those before were of other codes', async () => {
      assert.deepEqual(await statesAfter(originError, outOfMemory), ['pending', 'pending'])
      const lookups = [lookupTimeout, lookupTimeout, lookupTimeout]
      assert.deepEqual(await statesAfter(...lookups, unknownHost), [
        'pending',
        'pending',
        'pending',
        'pending',
      ])
    })

    test('that is final ends the job at once', async () => {
      const { row, recorder } = await attemptOnce({ run: fails('not_an_image'), rule: final })
      assert.equal(row.state, 'dead')
      assert.deepEqual(recorder.committed.at(-1), { id: row.id, move: 'dead' })
    })

    test('that was our own fault is taken back, and the waits grow all the same', async () => {
      const recorder = record({ run: fails('storage_failed'), rule: ours })
      await using worker = start(recorder, { random: () => 0.5 })
      const id = await addJob(database)
      for (const [n, waitMs] of [1_000, 3_000, 9_000].entries()) {
        const earliest = await clockPlus(database, waitMs)
        await worker.ring(id)
        const row = await eventually(async () => {
          const found = await readJob(database, id)
          assert.equal(found.uncounted, n + 1)
          return found
        })
        assert.equal(row.state, 'pending')
        assert.equal(row.attempts, 0)
        assert.ok(row.due_at >= earliest)
        await age(database, id, waitMs)
      }
      const scheduled = recorder.heard.filter(({ hook }) => hook === 'retry_scheduled')
      assert.deepEqual(
        scheduled.map(({ attempts }) => attempts),
        [0, 0, 0],
      )
    })

    test('of a job past its greatest age ends it, counted or not', async () => {
      const recorder = record({ run: fails('storage_failed'), rule: ours })
      await using worker = start(recorder)
      const id = await addJob(database)
      await age(database, id, 25 * HOUR_MS)
      await worker.ring(id)
      assert.equal((await settled(id)).state, 'dead')
    })

    test('is one whatever was thrown, and wherever', async () => {
      const throwing: [string, unknown][] = [
        ['TypeError', new TypeError('x is not a function')],
        ['undefined', undefined],
        ['string', 'no'],
        ['object', {}],
      ]
      for (const [code, thrown] of throwing) {
        const asynchronously = await attemptOnce({ run: () => Promise.reject(thrown) })
        assert.equal(asynchronously.row.error?.code, code)
        const synchronously = await attemptOnce({
          run: () => {
            throw thrown
          },
        })
        assert.equal(synchronously.row.error?.code, code)
        const settling = await attemptOnce({ run: async () => () => Promise.reject(thrown) })
        assert.equal(settling.row.error?.code, code)
        assert.equal(settling.row.attempts, 1)
      }
    })

    test('that its handler cannot classify is retried and counted', async () => {
      const { row } = await attemptOnce({
        run: fails('origin_error'),
        classify: () => {
          throw new Error('what is this?')
        },
      })
      assert.equal(row.state, 'pending')
      assert.equal(row.attempts, 1)
      assert.equal(row.error?.code, 'worker_lost')
    })

    test('stays under its lease when the hook of its move throws, and nothing of the move is kept', async () => {
      const recorder = record({
        run: fails('origin_error'),
        onRetryScheduled: async (tx, { id }) => {
          await sql`INSERT INTO users (id) VALUES (${id})`.execute(tx)
          throw new Error('a defect')
        },
      })
      await using worker = start(recorder)
      const id = await addJob(database)
      await worker.ring(id)
      await eventually(() => assert.ok(recorder.of(id).includes('retry_scheduled')))
      await worker.worker.stop({ deadlineMs: 1_000 })
      const row = await readJob(database, id)
      assert.equal(row.state, 'running')
      assert.equal(row.error, null)
      const { rows } = await sql`SELECT id FROM users WHERE id = ${id}`.execute(database.db)
      assert.deepEqual(rows, [])
    })
  })

  describe('an attempt that takes too long', () => {
    test('is aborted, and that is a failure by the name of JobTimeout', async () => {
      let reason: unknown
      const { row } = await attemptOnce({
        timeoutMs: 20,
        run: async (_job, { signal }) => {
          await aborted(signal)
          reason = signal.reason
          throw new DOMException('aborted', 'AbortError')
        },
      })
      assert.ok(reason instanceof JobTimeout)
      assert.equal(row.error?.code, 'JobTimeout')
      assert.equal(row.attempts, 1)
    })

    test('without what it has to wait for', async () => {
      const { row } = await attemptOnce({
        timeoutMs: 200,
        run: async (_job, { signal, wait }) => {
          assert.equal(await wait(delay(600, 'its turn', { signal })), 'its turn')
          return async () => 'done'
        },
      })
      assert.equal(row.state, 'done')
    })

    test('and that fails in its own words meanwhile is judged by those', async () => {
      const { row } = await attemptOnce({
        timeoutMs: 20,
        run: async (_job, { signal }) => {
          await aborted(signal)
          throw new AppError('download_timeout', 'The download took too long.')
        },
      })
      assert.equal(row.error?.code, 'download_timeout')
    })

    test('but ends well in the grace is settled', async () => {
      const { row } = await attemptOnce({
        timeoutMs: 20,
        run: async (_job, { signal }) => {
          await aborted(signal)
          return async () => 'done'
        },
      })
      assert.equal(row.state, 'done')
    })

    test('and never ends is left behind: its job is retried, its place goes to others', async () => {
      const { promise: forever, resolve: release } = Promise.withResolvers<() => Promise<'done'>>()
      let effects = 0
      const take = async () => {
        effects++
        return 'done' as const
      }
      const recorder = record({
        timeoutMs: 20,
        run: async ({ payload }) => (payload.n === 1 ? await forever : take),
      })
      await using worker = start(recorder, { settings: { concurrency: 1, graceMs: 20 } })
      const hanging = await addJob(database)
      await worker.ring(hanging)
      const row = await settled(hanging)
      assert.equal(row.state, 'pending')
      assert.equal(row.error?.code, 'JobTimeout')
      const other = await addJob(database, { payload: { n: 2 } })
      await worker.ring(other)
      assert.equal((await settled(other)).state, 'done')
      release(take)
      await worker.worker.stop({ deadlineMs: 1_000 })
      assert.equal(effects, 1)
      assert.equal((await readJob(database, hanging)).state, 'pending')
    })
  })
})
