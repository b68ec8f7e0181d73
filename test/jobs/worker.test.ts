// What becomes of one job in the hands of a worker, on every engine.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Database } from '../../src/database/database.ts'
import { openAnnouncer } from '../../src/jobs/announcer.ts'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { addJob, ledgerQueue, readJob, record, silent, startWorker } from './support.ts'

describeOnEachDatabase('a worker', (engine) => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await engine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  test('a committed job is announced, run and done', async () => {
    const { jobs, of, committed } = record()
    const queue = await ledgerQueue(database)
    await using _worker = startWorker(database, { queue, jobs })
    await using _announcer = openAnnouncer({
      database,
      queue,
      settings: { window: 1_000, ringAgainMs: 15_000, pollMs: 100 },
      log: silent,
    })
    const id = await addJob(database)
    database.signals.send('jobs')
    await eventually(async () => assert.equal((await readJob(database, id)).state, 'done'))
    assert.deepEqual(of(id), ['claimed', 'run'])
    await eventually(() =>
      assert.deepEqual(
        committed.map(({ move }) => move),
        ['claimed', 'done'],
      ),
    )
  })
})
