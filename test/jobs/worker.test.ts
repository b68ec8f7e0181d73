// What becomes of one job in the hands of a worker, on every engine. Bells are rung by hand.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import type { Database, Tx } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { AppError } from '../../src/errors.ts'
import { openAnnouncer } from '../../src/jobs/announcer.ts'
import { type FailureRule, LeaseLost, WorkerStopping } from '../../src/jobs/job.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { clockPlus, handRung } from './hand-rung.ts'
import {
  aborted,
  addJob,
  age,
  BEFORE_LEASE_ENDS_MS,
  handQueue,
  ledgerQueue,
  readJob,
  record,
  settings,
  silent,
  startWorker,
} from './support.ts'

const ours: FailureRule = { retryable: true, counts: false }

describeOnEachDatabase('a worker', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  const { start, settled, attemptOnce } = handRung(() => database)

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
    await eventually(() => assert.ok(reason instanceof LeaseLost), BEFORE_LEASE_ENDS_MS)
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
