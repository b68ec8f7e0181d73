// What a queue is told of deaths, and what comes of a dead job's message that somebody puts back.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, test } from 'node:test'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { openAnnouncer } from '../../src/jobs/announcer.ts'
import { buryDead } from '../../src/jobs/letters.ts'
import type { DeadLetter } from '../../src/queue/queue.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  addJob,
  addJobs,
  age,
  type Behaviour,
  handQueue,
  readJob,
  record,
  silent,
  startWorker,
  testJob,
} from './support.ts'

const HALF_A_MINUTE_MS = 30_000

describeOnEachDatabase('a death', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())
  afterEach(() => sql`DELETE FROM jobs`.execute(database.db))

  const definitions = [{ ...testJob, subject: { product_id: 'productId', other_id: 'otherId' } }]
  const dying: Behaviour = {
    run: async () => {
      throw new AppError('dns_failed', 'The host does not exist.')
    },
    rule: { retryable: false, counts: true },
  }
  const start = (behaviour: Behaviour = dying) => {
    const queue = handQueue()
    const recorder = record(behaviour)
    const worker = startWorker(database, { queue, jobs: recorder.jobs })
    return {
      recorder,
      ring: queue.ring,
      [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
    }
  }
  const died = (id: string, otherThan?: string) =>
    eventually(async () => {
      const row = await readJob(database, id)
      assert.equal(row.state, 'dead')
      assert.notEqual(row.death, otherThan)
      return { ...row, death: row.death! }
    })
  const letters = async (bury?: (letters: readonly DeadLetter[]) => Promise<void>) => {
    const told: DeadLetter[] = []
    const note = async (some: readonly DeadLetter[]) => void told.push(...some)
    await buryDead({ database, bury: bury ?? note, definitions }, new AbortController().signal)
    return told
  }

  const addDead = async (count: number) => {
    const ids = await addJobs(database, count)
    await sql`
      UPDATE jobs SET state = 'dead', death = gen_random_uuid(), finished_at = now(),
        error = '{"code":"dns_failed","detail":"","retryable":false}'`.execute(database.db)
    return ids
  }

  test('is told once, with what an operator wants to know', async () => {
    await using worker = start()
    const payload = { n: 1, productId: 'p', otherId: 7 }
    const id = await addJob(database, { payload })
    await worker.ring(id)
    const { death, key, finished_at } = await died(id)
    assert.deepEqual(await letters(), [
      {
        jobId: id,
        death,
        details: {
          kind: 'test.count',
          code: 'dns_failed',
          detail: 'AppError: The host does not exist.',
          attempts: 1,
          died_at: finished_at,
          product_id: 'p',
          counter_id: key,
        },
      },
    ])
    await age(database, id, 10 * HALF_A_MINUTE_MS)
    assert.deepEqual(await letters(), [])
  })

  test('is told again when the queue did not take it, and when its announcer was lost', async () => {
    await using worker = start()
    const id = await addJob(database)
    await worker.ring(id)
    const { death } = await died(id)
    const away = new AppError('unavailable', 'away')
    await assert.rejects(
      letters(() => Promise.reject(away)),
      away,
    )
    const lost = Promise.withResolvers<void>()
    void letters(() => lost.promise)
    await eventually(async () => assert.notEqual((await readJob(database, id)).ring_again_at, null))
    assert.deepEqual(await letters(), [])
    await age(database, id, HALF_A_MINUTE_MS)
    assert.deepEqual(
      (await letters()).map((letter) => letter.death),
      [death],
    )
  })

  test('of each of many is told', async () => {
    const ids = await addDead(250)
    const told = await letters()
    assert.deepEqual(told.map(({ jobId }) => jobId).sort(), ids.sort())
  })

  test('is told of in the end to a queue that never has room for many', async () => {
    const ids = await addDead(20)
    const told = new Set<string>()
    let room = 0
    const bury = async (some: readonly DeadLetter[]) => {
      for (const { jobId } of some) {
        if (room-- === 0) throw new AppError('unavailable', 'full')
        told.add(jobId)
      }
    }
    for (let round = 0; round < ids.length && told.size < ids.length; round++) {
      room = 3
      await letters(bury).catch(() => {})
    }
    assert.deepEqual([...told].sort(), ids.sort())
  })

  test('is told by the announcer, where the queue has a place for it', async () => {
    await using worker = start()
    const told: DeadLetter[] = []
    const queue = {
      ...handQueue(),
      bury: async (some: readonly DeadLetter[]) => void told.push(...some),
    }
    const settings = { window: 1_000, ringAgainMs: 15_000, pollMs: 20 }
    const id = await addJob(database)
    await worker.ring(id)
    const { death } = await died(id)
    await using _announcer = openAnnouncer({ database, queue, definitions, settings, log: silent })
    await eventually(() =>
      assert.deepEqual(
        told.map((letter) => letter.death),
        [death],
      ),
    )
  })

  test('that the queue does not take holds up no bell', async () => {
    await using worker = start()
    await worker.ring(await addJob(database))
    const { promise: gate, resolve: release } = Promise.withResolvers<void>()
    const rung: string[] = []
    let isTelling = false
    const queue = {
      ...handQueue(),
      announce: async (ids: readonly string[]) => void rung.push(...ids),
      bury: async () => {
        isTelling = true
        await gate
      },
    }
    const settings = { window: 1_000, ringAgainMs: 15_000, pollMs: 20 }
    await using _announcer = openAnnouncer({ database, queue, definitions, settings, log: silent })
    try {
      await eventually(() => assert.ok(isTelling))
      const id = await addJob(database)
      await eventually(() => assert.deepEqual(rung, [id]))
    } finally {
      release()
    }
  })

  test('whose message is put back makes the job run again with fresh attempts, once', async () => {
    await using worker = start()
    const { recorder, ring } = worker
    const id = await addJob(database)
    await ring(id)
    const { death: first } = await died(id)
    await letters()

    const answers = await Promise.all(Array.from({ length: 10 }, () => ring(id, first)))
    assert.deepEqual(new Set(answers), new Set(['heard']))
    const { death: second, attempts } = await died(id, first)
    assert.equal(attempts, 1)
    const twice = ['claimed', 'run', 'dead', 'redriven', 'claimed', 'run', 'dead']
    assert.deepEqual(recorder.of(id), twice)

    for (const death of [undefined, first, randomUUID()])
      assert.equal(await ring(id, death), 'heard')
    assert.deepEqual(recorder.of(id), twice)
    assert.deepEqual(
      (await letters()).map((letter) => letter.death),
      [second],
    )
    assert.equal(await ring(id, second), 'heard')
    await died(id, second)
  })

  test('of a job that lives or is done again revives nothing', async () => {
    const held = Promise.withResolvers<void>()
    await using worker = start({
      run: async () => {
        await held.promise
        return async () => 'done'
      },
    })
    const id = await addJob(database)
    await worker.ring(id)
    assert.equal(await worker.ring(id, randomUUID()), 'heard')
    held.resolve()
    await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'))
    assert.equal(await worker.ring(id, randomUUID()), 'heard')
    assert.deepEqual(worker.recorder.of(id), ['claimed', 'run'])
    assert.equal(await worker.ring(randomUUID(), randomUUID()), 'unknown')
  })

  test('of a job of another release is not for who does not know it', async () => {
    await using worker = start()
    const id = await addJob(database, { name: 'test.later' })
    const death = randomUUID()
    await sql`
      UPDATE jobs SET state = 'dead', death = ${death}, finished_at = now() WHERE id = ${id}`.execute(
      database.db,
    )
    assert.equal(await worker.ring(id, death), 'foreign')
    assert.equal((await readJob(database, id)).death, death)
  })

  test('is not answered by a worker that stops', async () => {
    const queue = handQueue()
    const worker = startWorker(database, { queue, jobs: record().jobs })
    await worker.stop({ deadlineMs: 1_000 })
    assert.equal(await queue.ring(await addJob(database)), 'unheard')
  })
})
