// The ledger as its own queue, on both of its engines.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { claim } from '../../src/jobs/claim.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { addJobs, type NewRow, silent } from '../jobs/support.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  pgliteEngine,
  postgresEngine,
  type TestDatabase,
  type TestEngine,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { describeQueue, type TestQueue } from './queue.ts'

const POLL_MS = 100
const NEVER_MS = 1_000_000

function open(database: Database, pollMs = POLL_MS): Promise<Queue> {
  return openQueue({ kind: 'postgres', database, log: silent, pollMs })
}

/** As an announcer marks jobs before it announces them. */
async function addAnnounced(database: Database, count: number, row?: NewRow): Promise<string[]> {
  const ids = await addJobs(database, count, row)
  await sql`
    UPDATE jobs SET ring_again_at = now() + interval '1 minute' WHERE id = ANY(${ids}::uuid[])`.execute(
    database.db,
  )
  return ids
}

async function answer(database: Database, jobId: string): Promise<Answer> {
  await database.transaction((tx) => claim(tx, { jobId, worker: 'tester', leaseMs: 20_000 }))
  return 'heard'
}

async function create(engine: TestEngine): Promise<TestQueue> {
  const resources = new AsyncDisposableStack()
  const { database, options } = resources.use(await engine.create())
  const elsewhere =
    engine.name === 'postgres' ? resources.use(await openDatabase(options)) : database
  return {
    queue: await open(database),
    another: await open(elsewhere),
    jobs: (count) => addAnnounced(database, count),
    answer: (jobId) => answer(database, jobId),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describeQueue('the ledger on pglite', () => create(pgliteEngine))
describeOnPostgres('the ledger', () => describeQueue('the ledger', () => create(postgresEngine)))

describeOnEachDatabase('the ledger as a queue', (engine) => {
  let source: TestDatabase
  let database: Database
  before(async () => {
    source = await engine.create()
    database = source.database
  })
  after(() => source[Symbol.asyncDispose]())

  test('a bell is heard at once by signal, and by polling when the signal was lost', async () => {
    for (const [pollMs, isSignalled] of [
      [NEVER_MS, true],
      [POLL_MS, false],
    ] as const) {
      const queue = await open(database, pollMs)
      const stopping = new AbortController()
      const heard: string[] = []
      const handler = async (id: string) => {
        heard.push(id)
        return await answer(database, id)
      }
      const ended = queue.listen(handler, { concurrency: 1, signal: stopping.signal })
      const ids = await addAnnounced(database, 3)
      if (isSignalled) await queue.announce(ids)
      await eventually(() => assert.deepEqual([...heard].sort(), [...ids].sort()))
      stopping.abort()
      await ended
    }
  })

  test('only jobs that are announced and unclaimed are heard of, and none again and again', async () => {
    const queue = await open(database, 5)
    const stopping = new AbortController()
    const [claimed] = await addAnnounced(database, 1)
    await answer(database, claimed!)
    await addJobs(database, 1)
    const [refused] = await addAnnounced(database, 1)
    const heard: { id: string; at: number }[] = []
    const handler = async (id: string): Promise<Answer> => {
      heard.push({ id, at: performance.now() })
      return 'heard'
    }
    const ended = queue.listen(handler, { concurrency: 4, signal: stopping.signal })
    await eventually(() => assert.ok(heard.length >= 3))
    stopping.abort()
    await ended
    assert.ok(heard.every(({ id }) => id === refused))
    assert.ok(heard[2]!.at - heard[0]!.at >= 400, 'a bell that nobody answers keeps a pace')
    await sql`DELETE FROM jobs`.execute(database.db)
  })

  test('a lane with 400 bells does not drown the only one of another', async () => {
    const queue = await open(database)
    const stopping = new AbortController()
    await addAnnounced(database, 400, { lane: 'busy' })
    const [id] = await addAnnounced(database, 1, { lane: 'other' })
    const heard: string[] = []
    const handler = async (heardId: string) => {
      const answered = await answer(database, heardId)
      heard.push(heardId)
      if (heardId === id) stopping.abort()
      return answered
    }
    await queue.listen(handler, { concurrency: 2, signal: stopping.signal })
    // The chance that it takes longer is (1 - 1/7.6) ^ 150, or 6 in 10^10.
    assert.ok(heard.length <= 150, `${heard.length} were heard first`)
    await sql`DELETE FROM jobs`.execute(database.db)
  })
})

describeOnPostgres('the ledger as a queue whose database is away', () => {
  test('listens on without a word to anybody, until it is told to stop', async () => {
    await using source = await postgresEngine.create()
    const gone = await openDatabase(source.options)
    const queue = await open(gone, 10)
    const stopping = new AbortController()
    const calls: string[] = []
    const handler = async (id: string): Promise<Answer> => {
      calls.push(id)
      return 'heard'
    }
    const ended = queue.listen(handler, { concurrency: 1, signal: stopping.signal })
    await gone[Symbol.asyncDispose]()
    await addAnnounced(source.database, 1)
    await assert.rejects(queue.ping(), { code: 'unavailable' })
    stopping.abort()
    await ended
    assert.deepEqual(calls, [])
  })
})
