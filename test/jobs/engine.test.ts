// Announcer, queue, workers and reaper together: what users and operators count on.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { AppError } from '../../src/errors.ts'
import { openAnnouncer } from '../../src/jobs/announcer.ts'
import { openReaper } from '../../src/jobs/reaper.ts'
import { orAborted } from '../../src/lib/deadline.ts'
import type { Queue } from '../../src/queue/queue.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  addJob,
  addJobs,
  age,
  ledgerQueue,
  type Recorder,
  readJob,
  record,
  settings,
  silent,
  startWorker,
} from './support.ts'

const PATIENCE_MS = 60_000

function announce(database: Database, queue: Queue, window = 1_000): AsyncDisposable {
  const ringing = { window, ringAgainMs: 15_000, pollMs: 50 }
  return openAnnouncer({ database, queue, definitions: [], settings: ringing, log: silent })
}

const runsOf = ({ heard }: Recorder) => heard.filter(({ hook }) => hook === 'run')

async function countOf(database: Database, state: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    SELECT count(*) AS n FROM jobs WHERE state = ${state}`.execute(database.db)
  return rows[0]?.n ?? 0
}

describeOnEachDatabase('the engine', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())
  afterEach(() => sql`DELETE FROM jobs`.execute(database.db))

  test(`one user's 1,000 jobs do not hold up another's one`, async () => {
    const recorder = record()
    const queue = await ledgerQueue(database)
    await addJobs(database, 1_000, { lane: 'busy' })
    await using _announcer = announce(database, queue)
    await using _worker = startWorker(database, { queue, jobs: recorder.jobs })
    await eventually(() => assert.ok(runsOf(recorder).length >= 50), PATIENCE_MS)
    const before = runsOf(recorder).length
    const id = await addJob(database, { lane: 'other' })
    database.signals.send('jobs')
    await eventually(() => assert.ok(recorder.of(id).includes('run')), PATIENCE_MS)
    const place = runsOf(recorder).findIndex((run) => run.id === id)
    assert.ok(place - before < 300, `${place - before} others ran first`)
  })

  test('a kind of work without room does not hold up the rest', async () => {
    const recorder = record({
      admit: ({ n }) => (n > 200 ? { [Symbol.dispose]: () => {} } : undefined),
    })
    const queue = await ledgerQueue(database)
    // More than the window holds, all of them ahead in the same line.
    await addJobs(database, 200)
    const id = await addJob(database, { payload: { n: 201 } })
    await using _announcer = announce(database, queue, 50)
    await using _worker = startWorker(database, { queue, jobs: recorder.jobs })
    await eventually(
      async () => assert.equal((await readJob(database, id)).state, 'done'),
      PATIENCE_MS,
    )
    assert.equal(runsOf(recorder).length, 1)
    assert.equal(await countOf(database, 'pending'), 200)
  })

  test('a kind of work with little room is done as fast as there is room, and never more of it at once', async () => {
    let inside = 0
    let most = 0
    const recorder = record({
      admit: () => {
        if (inside === 2) return undefined
        most = Math.max(most, ++inside)
        return { [Symbol.dispose]: () => void inside-- }
      },
      run: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return async () => 'done'
      },
    })
    const queue = await ledgerQueue(database)
    await addJobs(database, 100)
    await using _announcer = announce(database, queue)
    await using _worker = startWorker(database, { queue, jobs: recorder.jobs })
    const startedAt = performance.now()
    await eventually(async () => assert.equal(await countOf(database, 'done'), 100), PATIENCE_MS)
    const tookMs = performance.now() - startedAt
    // By announcements alone, two a second: 50 s.
    assert.ok(tookMs < 15_000, `${tookMs} ms`)
    assert.equal(most, 2)
    assert.equal(inside, 0)
  })

  test('while the queue takes nothing jobs wait, and work goes on when it is back', async () => {
    const recorder = record()
    const ledger = await ledgerQueue(database)
    let isAway = true
    let refused = 0
    const broken: Queue = {
      ...ledger,
      announce: async (ids) => {
        if (!isAway) return await ledger.announce(ids)
        refused++
        throw new AppError('unavailable', 'The broker is away.')
      },
    }
    const id = await addJob(database)
    await using _announcer = announce(database, broken)
    await eventually(async () => {
      assert.ok(refused >= 2)
      const { ring_again_at, rings } = await readJob(database, id)
      assert.deepEqual({ ring_again_at, rings }, { ring_again_at: null, rings: 0 })
    })
    isAway = false
    await using _worker = startWorker(database, { queue: broken, jobs: recorder.jobs })
    await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'))
    assert.equal(recorder.of(id).length, 2)
  })

  test('a bell that was lost is rung again, and the job runs', async () => {
    const recorder = record()
    const deaf: Queue = { ...(await ledgerQueue(database)), announce: async () => {} }
    const id = await addJob(database)
    {
      await using _announcer = announce(database, deaf)
      await eventually(async () => assert.equal((await readJob(database, id)).rings, 1))
    }
    await age(database, id, 15_000)
    const queue = await ledgerQueue(database)
    await using _announcer = announce(database, queue)
    await using _worker = startWorker(database, { queue, jobs: recorder.jobs })
    await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'))
    assert.equal((await readJob(database, id)).rings, 2)
  })

  test('what a lost worker left is taken back, retried, and done', async () => {
    const recorder = record()
    const queue = await ledgerQueue(database)
    const id = await addJob(database)
    await sql`
      UPDATE jobs SET state = 'running', attempts = 1, worker = 'lost', claim = gen_random_uuid(),
        lease_until = now() - interval '1 second'`.execute(database.db)
    await using _announcer = announce(database, queue)
    await using _worker = startWorker(database, { queue, jobs: recorder.jobs })
    await using _reaper = openReaper({
      database,
      jobs: recorder.jobs,
      settings: { ...settings, everyMs: 50 },
      log: silent,
      random: () => 0,
    })
    await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'))
    assert.deepEqual(recorder.of(id), ['retry_scheduled', 'claimed', 'run'])
    assert.equal((await readJob(database, id)).attempts, 2)
  })

  test('a worker that is always busy keeps all of its leases', async () => {
    const recorder = record({
      run: async () => {
        await sleep(5_000)
        return async () => 'done'
      },
    })
    const queue = await ledgerQueue(database)
    await addJobs(database, 16)
    // A machine that stands still for two seconds loses none of them; without heartbeats all would be lost.
    const leases = { leaseMs: 3_500, heartbeatMs: 500 }
    await using _announcer = announce(database, queue)
    await using _worker = startWorker(database, {
      queue,
      jobs: recorder.jobs,
      settings: { ...leases, concurrency: 16 },
    })
    await using _reaper = openReaper({
      database,
      jobs: recorder.jobs,
      settings: { ...settings, everyMs: 50 },
      log: silent,
    })
    await eventually(async () => assert.equal(await countOf(database, 'done'), 16), PATIENCE_MS)
    assert.equal(runsOf(recorder).length, 16)
  })
})

describeOnPostgres('many workers', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())
  afterEach(() => sql`DELETE FROM jobs`.execute(open.database.db))

  test('50 of them claim at once, and each job goes to one', async () => {
    const { database } = open
    const recorder = record()
    const ids = await addJobs(database, 500)
    const queue = await ledgerQueue(database)
    await using workers = new AsyncDisposableStack()
    for (let i = 0; i < 50; i++) workers.use(startWorker(database, { queue, jobs: recorder.jobs }))
    workers.use(announce(database, queue))
    await eventually(async () => assert.equal(await countOf(database, 'done'), 500), PATIENCE_MS)
    assert.deepEqual(
      runsOf(recorder)
        .map(({ id }) => id)
        .sort(),
      [...ids].sort(),
    )
    const { rows } = await sql<{ attempts: number }>`
      SELECT DISTINCT attempts FROM jobs`.execute(database.db)
    assert.deepEqual(rows, [{ attempts: 1 }])
  })

  test('with announcers, reapers and leases of their own lose nothing when half of them stop', async () => {
    const { database } = open
    const ids = await addJobs(database, 300)
    // Some last until half of the workers are gone, so that there is something to hand back.
    const gone = Promise.withResolvers<void>()
    let lasting = 0
    const recorder = record({
      run: async ({ payload }, { signal }) => {
        if (payload.n % 20 === 0) lasting++
        if (payload.n % 20 === 0) await orAborted(gone.promise, signal)
        else await sleep(20, undefined, { signal })
        return async () => 'done'
      },
    })
    const nodes = new AsyncDisposableStack()
    const node = async (stack: AsyncDisposableStack) => {
      const own = stack.use(await openDatabase(open.options))
      const queue = await ledgerQueue(own)
      stack.use(announce(own, queue, 50))
      stack.use(openReaper({ database: own, jobs: recorder.jobs, settings, log: silent }))
      return stack.use(startWorker(own, { queue, jobs: recorder.jobs }))
    }
    const leaving = await Promise.all([node(nodes), node(nodes)])
    await using staying = new AsyncDisposableStack()
    await Promise.all([node(staying), node(staying)])
    await eventually(async () => {
      assert.ok((await countOf(database, 'done')) > 50)
      assert.ok(lasting >= 12)
    }, PATIENCE_MS)
    await Promise.all(leaving.map((worker) => worker.stop({ deadlineMs: 6_000 })))
    await nodes.disposeAsync()
    gone.resolve()
    assert.ok(recorder.heard.some(({ hook }) => hook === 'handed_back'))
    await eventually(async () => assert.equal(await countOf(database, 'done'), 300), PATIENCE_MS)
    for (const id of ids) {
      const { attempts, rings } = await readJob(database, id)
      assert.equal(attempts, 1)
      assert.ok(rings <= 3)
    }
  })
})
