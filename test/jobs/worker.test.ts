// What becomes of one job in the hands of a worker, on every engine. Bells are rung by hand.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database, Tx } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { AppError } from '../../src/errors.ts'
import { openAnnouncer } from '../../src/jobs/announcer.ts'
import { type FailureRule, JobTimeout, LeaseLost, WorkerStopping } from '../../src/jobs/job.ts'
import { reap } from '../../src/jobs/reaper.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  aborted,
  addJob,
  age,
  type Behaviour,
  handQueue,
  type JobRow,
  ledgerQueue,
  type Recorder,
  readJob,
  record,
  type StartOptions,
  settings,
  silent,
  startWorker,
} from './support.ts'

const HOUR_MS = 3_600_000
/** That a lease is lost has to be noticed before it would have run out. */
const BEFORE_IT_ENDS_MS = settings.leaseMs - 5_000
const ours: FailureRule = { retryable: true, counts: false }
const final: FailureRule = { retryable: false, counts: true }

describeOnEachDatabase('a worker', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const start = (recorder: Recorder, options: Partial<StartOptions> = {}) => {
    const queue = handQueue()
    const worker = startWorker(database, { queue, jobs: recorder.jobs, ...options })
    return { worker, ring: queue.ring, [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose]() }
  }
  /** Resolves once no attempt of the job is under way. */
  const settled = (id: string): Promise<JobRow> =>
    eventually(async () => {
      const row = await readJob(database, id)
      assert.notEqual(row.state, 'running')
      assert.ok(row.rings > 0 || row.attempts + row.uncounted > 0 || row.state !== 'pending')
      return row
    })
  const isReapedBy = (recorder: Recorder) =>
    reap({ database, jobs: recorder.jobs, settings, log: silent, random: () => 0.5 })
  /** One job, one bell, one attempt. */
  const attemptOnce = async (behaviour: Behaviour, options: Partial<StartOptions> = {}) => {
    const recorder = record(behaviour)
    await using worker = start(recorder, options)
    const id = await addJob(database)
    await worker.ring(id)
    return { id, recorder, row: await settled(id) }
  }

  test('a committed job is announced, run and done', async () => {
    const { jobs, of, committed } = record()
    const queue = await ledgerQueue(database)
    await using _worker = startWorker(database, { queue, jobs })
    await using _announcer = openAnnouncer({
      database,
      queue,
      definitions: [],
      settings: { window: 1_000, ringAgainMs: 15_000, pollMs: 100 },
      log: silent,
    })
    const id = await addJob(database)
    database.signals.send('jobs')
    await eventually(() =>
      assert.deepEqual(
        committed.map(({ move }) => move),
        ['claimed', 'done'],
      ),
    )
    assert.deepEqual(of(id), ['claimed', 'run'])
    const { state, result, claim, worker, error } = await readJob(database, id)
    assert.deepEqual(
      { state, result, claim, worker, error },
      { state: 'done', result: 'done', claim: null, worker: null, error: null },
    )
  })

  test('a job delivered twice, and again when it is done, runs once', async () => {
    const recorder = record()
    await using worker = start(recorder)
    const id = await addJob(database)
    await Promise.all([worker.ring(id), worker.ring(id), worker.ring(id)])
    await settled(id)
    await worker.ring(id)
    assert.deepEqual(recorder.of(id), ['claimed', 'run'])
  })

  test('a bell for a job that is gone, not due, or no id at all is answered and forgotten', async () => {
    const recorder = record()
    await using worker = start(recorder)
    const later = await addJob(database)
    await age(database, later, -60_000)
    assert.equal(await worker.ring(later), 'heard')
    assert.equal(await worker.ring('01980000-0000-7000-8000-000000000000'), 'unknown')
    assert.equal(await worker.ring(`'; DROP TABLE jobs`), 'unknown')
    assert.deepEqual(recorder.heard, [])
    assert.equal((await readJob(database, later)).attempts, 0)
  })

  test('effects are committed with the end of the job, or not at all', async () => {
    const effect = (name: string) => async (tx: Tx) => {
      await sql`INSERT INTO users (id) VALUES (${name})`.execute(tx)
      if (name === 'rolled-back') throw new AppError('storage_failed', 'The file is gone.')
      return 'done' as const
    }
    const kept = await attemptOnce({ run: async () => effect('kept') })
    assert.equal(kept.row.state, 'done')
    const undone = await attemptOnce({ run: async () => effect('rolled-back'), rule: ours })
    assert.equal(undone.row.state, 'pending')
    assert.equal(undone.row.error?.code, 'storage_failed')
    const { rows } = await sql`SELECT id FROM users WHERE id IN ('kept', 'rolled-back')`.execute(
      database.db,
    )
    assert.deepEqual(rows, [{ id: 'kept' }])
  })

  test('what there is no more use for ends as dropped, at the claim or at the settle', async () => {
    const atClaim = await attemptOnce({ onClaimed: async () => false })
    const atSettle = await attemptOnce({ run: async () => async () => 'dropped' })
    for (const { row, recorder } of [atClaim, atSettle]) {
      assert.equal(row.state, 'done')
      assert.equal(row.result, 'dropped')
      assert.equal(recorder.committed.at(-1)?.move, 'dropped')
    }
    assert.deepEqual(atClaim.recorder.of(atClaim.id), ['claimed'])
  })

  /** A job with attempts enough fails so, one after the other: its states after each. */
  const codesOfTheirOwn = () => {
    const retried: FailureRule = { retryable: true, counts: true }
    const after = async (...failures: { code: string; rule: FailureRule }[]) => {
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
    return {
      outOfMemory: { code: 'render_out_of_memory', rule: { ...retried, maxFailures: 2 } },
      unknownHost: { code: 'dns_failed', rule: { ...retried, maxFailures: 3 } },
      lookupTimeout: { code: 'dns_failed', rule: retried },
      originError: { code: 'origin_error', rule: retried },
      after,
    }
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
      const { outOfMemory, originError, after } = codesOfTheirOwn()
      assert.deepEqual(await after(outOfMemory, originError, outOfMemory), [
        'pending',
        'pending',
        'dead',
      ])
    })

    test('of a code with fewer attempts is followed by another when those before were of other codes', async () => {
      const { outOfMemory, originError, unknownHost, lookupTimeout, after } = codesOfTheirOwn()
      assert.deepEqual(await after(originError, outOfMemory), ['pending', 'pending'])
      const lookups = [lookupTimeout, lookupTimeout, lookupTimeout]
      assert.deepEqual(await after(...lookups, unknownHost), [
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
      await eventually(() => assert.ok(reason instanceof LeaseLost), BEFORE_IT_ENDS_MS)
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

  describe('stopping', () => {
    test('lets what runs finish, and takes nothing more', async () => {
      const { promise: gate, resolve: finish } = Promise.withResolvers<void>()
      const recorder = record({
        run: async (_job, { signal }) => {
          await gate
          assert.equal(signal.aborted, false)
          return async () => 'done'
        },
      })
      await using worker = start(recorder)
      const [running, waiting] = [await addJob(database), await addJob(database)]
      await worker.ring(running)
      const stopped = worker.worker.stop({ deadlineMs: 10_000 })
      await worker.ring(waiting)
      finish()
      await stopped
      assert.equal((await readJob(database, running)).state, 'done')
      assert.deepEqual(recorder.of(waiting), [])
    })

    for (const [how, ignoring] of [
      ['heeds its abort', false],
      ['ignores its abort', true],
    ] as const) {
      test(`hands back in time what ${how}, without counting the attempt`, async () => {
        let reason: unknown
        const recorder = record({
          run: async (_job, { signal }) => {
            await aborted(signal)
            reason = signal.reason
            if (ignoring) await new Promise(() => {})
            throw reason
          },
          onRetryScheduled: () => assert.fail('counted as a failure'),
        })
        await using worker = start(recorder)
        const id = await addJob(database)
        await sql`UPDATE jobs SET attempts = 1 WHERE id = ${id}`.execute(database.db)
        await worker.ring(id)
        const startedAt = performance.now()
        await worker.worker.stop({ deadlineMs: 3_000 })
        assert.ok(performance.now() - startedAt < 10_000)
        assert.ok(reason instanceof WorkerStopping)
        const row = await readJob(database, id)
        assert.equal(row.state, 'pending')
        assert.equal(row.attempts, 1)
        assert.ok(row.due_at <= (await clockPlus(database, 0)))
        assert.deepEqual(recorder.heard.at(-1), { hook: 'handed_back', id, attempts: 1 })
        assert.deepEqual(recorder.committed.at(-1), { id, move: 'handed_back' })
      })
    }
  })

  test('a move is repeated while the database is away and the lease is ours', async () => {
    const recorder = record()
    let outages = 3
    const flaky: Database = {
      ...database,
      transaction: async (work) => {
        const away = recorder.heard.some(({ hook }) => hook === 'run') && outages-- > 0
        if (away) throw new AppError('unavailable', 'The database cannot be reached.')
        return await database.transaction(work)
      },
    }
    const queue = handQueue()
    await using _worker = startWorker(flaky, { queue, jobs: recorder.jobs })
    const id = await addJob(database)
    await queue.ring(id)
    assert.equal((await settled(id)).state, 'done')
    assert.equal(outages, -1)
    assert.deepEqual(recorder.of(id), ['claimed', 'run'])
  })

  test('a handler that throws when told of a commit changes nothing', async () => {
    const { row } = await attemptOnce({
      onCommitted: () => {
        throw new Error('a defect')
      },
    })
    assert.equal(row.state, 'done')
  })
})

describeOnPostgres('a worker whose database is away', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('aborts its attempts when their leases must have run out by its own clock', async () => {
    const own = await openDatabase(open.options)
    let ahead = 0
    let reason: unknown
    const { jobs } = record({
      run: async (_job, { signal }) => {
        await aborted(signal)
        reason = signal.reason
        throw signal.reason
      },
    })
    const queue = handQueue()
    const now = () => performance.now() + ahead
    const worker = startWorker(own, { queue, jobs, now, settings: { heartbeatMs: 20 } })
    const id = await addJob(open.database)
    await queue.ring(id)
    await own[Symbol.asyncDispose]()
    ahead = settings.leaseMs
    await eventually(() => assert.ok(reason instanceof LeaseLost), BEFORE_IT_ENDS_MS)
    await worker[Symbol.asyncDispose]()
    assert.equal((await readJob(open.database, id)).state, 'running')
  })

  test('stops in time although it can hand back nothing', async () => {
    const own = await openDatabase(open.options)
    const { jobs } = record({
      run: async (_job, { signal }) => {
        await aborted(signal)
        throw signal.reason
      },
    })
    const queue = handQueue()
    const worker = startWorker(own, { queue, jobs })
    const id = await addJob(open.database)
    await queue.ring(id)
    await own[Symbol.asyncDispose]()
    const startedAt = performance.now()
    await worker.stop({ deadlineMs: 400 })
    assert.ok(performance.now() - startedAt < 10_000)
    assert.equal((await readJob(open.database, id)).state, 'running')
  })
})

function fails(code: AppError['code']): () => Promise<never> {
  return async () => {
    throw new AppError(code, 'as the test wants it')
  }
}

async function clockPlus({ db }: Database, ms: number): Promise<string> {
  const { rows } = await sql<{ at: string }>`
    SELECT clock_timestamp() + ${ms}::float8 * interval '1 millisecond' AS at`.execute(db)
  return rows[0]!.at
}
