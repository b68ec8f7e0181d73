// The moves that no attempt makes: taking back lost jobs, redriving, removing. On every engine.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { claim } from '../../src/jobs/claim.ts'
import { lockClaimed } from '../../src/jobs/fail.ts'
import { handBack } from '../../src/jobs/hand-back.ts'
import { extendLeases, readClaims } from '../../src/jobs/heartbeat.ts'
import type { FailureRule } from '../../src/jobs/job.ts'
import { purgeDone } from '../../src/jobs/purge.ts'
import { openPurger } from '../../src/jobs/purger.ts'
import { openReaper, reap } from '../../src/jobs/reaper.ts'
import { makeDueNow, redrive, redriveAll } from '../../src/jobs/redrive.ts'
import { settle } from '../../src/jobs/settle.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  addJob,
  addJobs,
  age,
  type NewRow,
  type Recorder,
  readJob,
  record,
  settings,
  silent,
  testJob,
} from './support.ts'

const HOUR_MS = 3_600_000
/** Leaves the transaction's context, as another process would be. */
const outside = AsyncLocalStorage.snapshot()

describeOnEachDatabase('the ledger', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())
  afterEach(() => sql`DELETE FROM jobs`.execute(database.db))

  const claimJob = async (jobId: string) => {
    const leaseMs = settings.leaseMs
    const job = await database.transaction((tx) => claim(tx, { jobId, worker: 'lost', leaseMs }))
    assert.ok(job)
    return job
  }
  const addLost = async (row?: NewRow) => {
    const id = await addJob(database, row)
    await claimJob(id)
    await age(database, id, settings.leaseMs + 1)
    return id
  }
  const finish = async (id: string) => {
    const job = await claimJob(id)
    await database.transaction((tx) => settle(tx, job, async () => 'done'))
  }
  const reapOnce = ({ jobs }: Recorder) =>
    reap({ database, jobs, settings, log: silent, random: () => 0.5 })

  test('a claim that is over moves nothing, although the job runs again under another', async () => {
    const id = await addLost()
    const { claim: over } = await readJob(database, id)
    await reapOnce(record())
    await age(database, id, HOUR_MS)
    const job = { ...(await claimJob(id)), claim: over ?? '' }
    const before = await readJob(database, id)
    let effects = 0
    const settlement = async () => {
      effects++
      return 'done' as const
    }
    const { transaction, db } = database
    assert.equal(await transaction((tx) => settle(tx, job, settlement)), undefined)
    assert.equal(await transaction((tx) => handBack(tx, job)), undefined)
    assert.equal(await transaction((tx) => lockClaimed(tx, job)), undefined)
    assert.deepEqual(await extendLeases(db, [job], 1_000_000), new Set())
    assert.deepEqual(await readClaims(db, [job]), new Set())
    assert.deepEqual(await readJob(database, id), before)
    assert.equal(effects, 0)
  })

  const aLockedRow =
    'a heartbeat passes over a row that somebody has locked, and a plain read still shows it'
  // One session cannot wait for another: there the question does not arise.
  const testWithSessions = engine.name === 'postgres' ? test : () => {}
  testWithSessions(aLockedRow, async () => {
    const jobs = await Promise.all((await addJobs(database, 3)).map(claimJob))
    const [settling, ...others] = jobs
    assert.ok(settling)
    await database.transaction(async (tx) => {
      await settle(tx, settling, async () => 'done')
      const elsewhere = await outside(() => extendLeases(database.db, jobs, settings.leaseMs))
      assert.deepEqual(elsewhere, new Set(others.map(({ claim }) => claim)))
      assert.equal((await outside(() => readClaims(database.db, jobs))).size, 3)
    })
  })

  describe('the reaper', () => {
    test('takes back a job whose lease ran out, as a failure of its worker', async () => {
      const recorder = record()
      const lost = await addLost()
      const held = await addJob(database)
      await claimJob(held)
      assert.equal(await reapOnce(recorder), 1)
      const row = await readJob(database, lost)
      assert.equal(row.state, 'pending')
      assert.equal(row.attempts, 1)
      assert.equal(row.claim, null)
      assert.deepEqual(row.error, {
        code: 'worker_lost',
        detail: 'AppError: The worker lost did not finish the attempt.',
        retryable: true,
      })
      assert.deepEqual(recorder.of(lost), ['retry_scheduled'])
      assert.deepEqual(recorder.committed, [{ id: lost, move: 'retry_scheduled' }])
      assert.equal((await readJob(database, held)).state, 'running')
    })

    test('ends a job whose worker was lost at the last attempt', async () => {
      const recorder = record()
      const lost = await addLost({ maxAttempts: 1 })
      await reapOnce(recorder)
      assert.equal((await readJob(database, lost)).state, 'dead')
      assert.deepEqual(recorder.of(lost), ['dead'])
    })

    test('counts a lost worker like any failure of a code with a maximum of its own', async () => {
      const recorder = record({ rule: { retryable: true, counts: true, maxFailures: 2 } })
      const lost = await addLost({ maxAttempts: 8 })
      await reapOnce(recorder)
      assert.deepEqual((await readJob(database, lost)).failures, { worker_lost: 1 })
      await age(database, lost, HOUR_MS)
      await claimJob(lost)
      await age(database, lost, settings.leaseMs + 1)
      await reapOnce(recorder)
      assert.deepEqual(recorder.of(lost), ['retry_scheduled', 'dead'])
    })

    test('ends a job whose payload it cannot read', async () => {
      const recorder = record()
      const lost = await addLost({ payload: { n: 'one' } })
      await reapOnce(recorder)
      assert.equal((await readJob(database, lost)).error?.code, 'unreadable_payload')
      assert.deepEqual(recorder.of(lost), ['unreadable'])
    })

    test('leaves alone what others will know how to take back', async () => {
      const lost = await addLost({ name: 'of.tomorrow' })
      assert.equal(await reapOnce(record()), 0)
      assert.equal((await readJob(database, lost)).state, 'running')
    })

    test('is not held up by a job that cannot be taken back, and comes back to it', async () => {
      let isBroken = true
      let poisoned = ''
      const recorder = record({
        onRetryScheduled: async (_tx, { id }) => {
          if (isBroken && id === poisoned) throw new Error('a defect')
        },
      })
      poisoned = await addLost()
      const other = await addLost()
      assert.equal(await reapOnce(recorder), 2)
      assert.equal((await readJob(database, other)).state, 'pending')
      assert.equal((await readJob(database, poisoned)).state, 'running')
      assert.equal(await reapOnce(recorder), 0)
      isBroken = false
      await age(database, poisoned, 30_000)
      assert.equal(await reapOnce(recorder), 1)
      assert.equal((await readJob(database, poisoned)).state, 'pending')
    })

    testWithSessions('is not held up by a job whose owner somebody holds on to', async () => {
      await sql`INSERT INTO users (id) VALUES ('held')`.execute(database.db)
      let blocked = ''
      const recorder = record({
        onRetryScheduled: async (tx, { id }) => {
          if (id === blocked) await sql`SELECT FROM users WHERE id = 'held' FOR UPDATE`.execute(tx)
        },
      })
      blocked = await addLost()
      const other = await addLost()
      await database.transaction(async (stranger) => {
        await sql`SELECT FROM users WHERE id = 'held' FOR UPDATE`.execute(stranger)
        assert.equal(await outside(() => reapOnce(recorder)), 2)
        assert.equal((await readJob({ db: stranger }, other)).state, 'pending')
        assert.equal((await readJob({ db: stranger }, blocked)).state, 'running')
        assert.equal(await outside(() => reapOnce(recorder)), 0)
      })
      await age(database, blocked, 10_000)
      assert.equal(await reapOnce(recorder), 1)
      assert.equal((await readJob(database, blocked)).state, 'pending')
    })

    testWithSessions('reaches the lost job behind a hundred that others hold', async () => {
      await addJobs(database, 101)
      await sql`
        UPDATE jobs SET state = 'running', claim = gen_random_uuid(), worker = 'lost', attempts = 1,
          lease_until = now() - interval '2 seconds'`.execute(database.db)
      const { rows } = await sql<{ id: string }>`
        UPDATE jobs SET lease_until = lease_until + interval '1 second'
        WHERE id = (SELECT max(id::text)::uuid FROM jobs) RETURNING id`.execute(database.db)
      const free = rows[0]?.id ?? ''
      await database.transaction(async (stranger) => {
        await sql`SELECT FROM jobs WHERE id <> ${free} FOR UPDATE`.execute(stranger)
        assert.equal(await outside(() => reapOnce(record())), 1)
        assert.equal((await readJob({ db: stranger }, free)).state, 'pending')
      })
    })

    test('takes back 120 jobs of a worker at once', async () => {
      const recorder = record()
      const ids = await addJobs(database, 120)
      await sql`
        UPDATE jobs SET state = 'running', claim = gen_random_uuid(), worker = 'lost', attempts = 1,
          lease_until = now() - interval '1 second'`.execute(database.db)
      await using _reaper = openReaper({
        database,
        jobs: recorder.jobs,
        settings: { everyMs: 1_000_000, maxAgeMs: settings.maxAgeMs },
        log: silent,
      })
      await eventually(() => assert.equal(recorder.committed.length, ids.length))
    })
  })

  describe('a redrive', () => {
    const again = (key: string, payload = { n: 7 }) => ({
      id: randomUUID(),
      name: testJob.name,
      key,
      payload,
      lane: 'another',
      maxAttempts: 5,
      trace: '00-trace',
    })
    const redriveJob = (key: string) => database.transaction((tx) => redrive(tx, again(key)))

    /** A failure of a code that may fail once more. */
    const limited: FailureRule = { retryable: true, counts: true, maxFailures: 2 }

    test('of a dead job begins anew, as it is asked for now', async () => {
      const id = await addLost({ maxAttempts: 2 })
      await reapOnce(record({ rule: limited }))
      await age(database, id, HOUR_MS)
      await claimJob(id)
      await age(database, id, settings.leaseMs + 1)
      await reapOnce(record({ rule: limited }))
      await age(database, id, 25 * HOUR_MS)
      const before = await readJob(database, id)
      assert.deepEqual(await redriveJob(id), { jobId: id })
      const row = await readJob(database, id)
      assert.ok(row.queued_at > before.queued_at && row.due_at > before.due_at)
      assert.deepEqual(row, {
        ...before,
        state: 'pending',
        payload: { n: 7 },
        lane: 'another',
        max_attempts: 5,
        trace: '00-trace',
        attempts: 0,
        failures: {},
        error: null,
        death: null,
        finished_at: null,
        due_at: row.due_at,
        queued_at: row.queued_at,
      })
    })

    test('of a done job, or of one that was purged, runs it again', async () => {
      const id = await addJob(database)
      await finish(id)
      assert.deepEqual(await redriveJob(id), { jobId: id })
      assert.equal((await readJob(database, id)).result, null)
      await sql`DELETE FROM jobs`.execute(database.db)
      const redriven = await redriveJob(id)
      assert.ok(redriven && redriven.jobId !== id)
      assert.equal((await readJob(database, redriven.jobId)).key, id)
    })

    test('of a job that is pending or running changes nothing', async () => {
      const pending = await addJob(database)
      const running = await addJob(database)
      await claimJob(running)
      for (const id of [pending, running]) {
        const before = await readJob(database, id)
        assert.equal(await redriveJob(id), undefined)
        assert.deepEqual(await readJob(database, id), before)
      }
    })

    test('of several begins all anew that do not run, and says which', async () => {
      const done = await addJob(database)
      await finish(done)
      const waiting = await addLost()
      const dead = await addLost({ maxAttempts: 1 })
      await reapOnce(record({ rule: limited }))
      assert.deepEqual((await readJob(database, waiting)).failures, { worker_lost: 1 })
      await age(database, waiting, -HOUR_MS)
      const running = await addJob(database)
      await claimJob(running)
      const before = await readJob(database, running)
      const absent = randomUUID()
      const keys = [running, dead, absent, waiting, done]
      const redriven = await database.transaction((tx) =>
        redriveAll(
          tx,
          keys.map((key, n) => again(key, { n })),
        ),
      )
      assert.deepEqual(new Set(redriven), new Set([dead, absent, waiting, done]))
      assert.deepEqual(await readJob(database, running), before)
      for (const [n, key] of keys.entries()) {
        if (key === running) continue
        const { rows } = await sql`
          SELECT state, attempts, failures, max_attempts, error, payload, lane,
            due_at <= clock_timestamp() AS due
          FROM jobs WHERE key = ${key}`.execute(database.db)
        assert.deepEqual(rows, [
          {
            state: 'pending',
            attempts: 0,
            failures: {},
            max_attempts: 5,
            error: null,
            payload: { n },
            lane: 'another',
            due: true,
          },
        ])
      }
    })

    test('of no jobs at all does nothing', async () => {
      assert.deepEqual(await database.transaction((tx) => redriveAll(tx, [])), [])
    })

    test('is not needed for a job that waits for its time: it is made due, with the attempts it has', async () => {
      const makeDue = (key: string) =>
        database.transaction((tx) => makeDueNow(tx, testJob.name, key))
      const id = await addLost()
      await reapOnce(record({ rule: limited }))
      await age(database, id, -HOUR_MS)
      assert.equal(await makeDue(id), true)
      const row = await readJob(database, id)
      assert.ok(Date.parse(row.due_at) <= Date.now() + 1_000)
      assert.deepEqual([row.attempts, row.failures], [1, { worker_lost: 1 }])
      await claimJob(id)
      assert.equal(await makeDue(id), false)
      assert.equal(await makeDue(randomUUID()), false)
    })

    test('making due does not send a job to the end of its line', async () => {
      const id = await addJob(database)
      await age(database, id, HOUR_MS)
      const { due_at } = await readJob(database, id)
      await database.transaction((tx) => makeDueNow(tx, testJob.name, id))
      assert.equal((await readJob(database, id)).due_at, due_at)
    })
  })

  describe('the purger', () => {
    test('removes what has been done for long enough, and nothing else', async () => {
      const old = await addJob(database)
      const recent = await addJob(database)
      await finish(old)
      await finish(recent)
      const dead = await addLost({ maxAttempts: 1 })
      await reapOnce(record())
      const pending = await addJob(database)
      for (const id of [old, dead, pending]) await age(database, id, 8 * 24 * HOUR_MS)
      await age(database, recent, 6 * 24 * HOUR_MS)
      await using _purger = openPurger({
        what: 'done jobs',
        everyMs: HOUR_MS,
        purge: (signal) => purgeDone(database.db, 7 * 24 * HOUR_MS, signal),
        log: silent,
      })
      await eventually(async () => assert.equal(await readJob(database, old), undefined))
      for (const id of [recent, dead, pending]) assert.ok(await readJob(database, id))
    })

    test('goes on until nothing is left to remove', async () => {
      await addJobs(database, 2_500)
      await sql`
        UPDATE jobs SET state = 'done', finished_at = now() - interval '1 hour'`.execute(
        database.db,
      )
      assert.equal(await purgeDone(database.db, 60_000, new AbortController().signal), 2_500)
    })
  })
})
