// The relay passes on every committed event once, whatever order transactions commit in.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import pino from 'pino'
import type { LoggedEvent } from '../../src/events/events.ts'
import { openRelay } from '../../src/events/relay.ts'
import { appendEvent } from '../support/append-event.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const log = pino({ level: 'silent' })
const productId = '0199f3c2-0000-7000-8000-000000000001'
const event = (version: number) => ({
  userId: 'u',
  productId,
  imageId: null,
  type: 'product.updated' as const,
  data: { version },
})

describeOnEachDatabase('the event relay', (engine) => {
  let open: TestDatabase
  before(async () => {
    open = await engine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('subscribers hear of each event once, and of none from before', async () => {
    const { database } = open
    await database.transaction((tx) => appendEvent(tx, event(1)))
    await using relay = openRelay({ database, log, pollMs: 50 })
    const heard: number[] = []
    relay.subscribe(({ version }) => heard.push(version))
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
    for (let version = 2; version <= 50; version++) {
      await database.transaction((tx) => appendEvent(tx, event(version)))
    }
    database.signals.send('events')
    await eventually(() => assert.equal(heard.length, 49))
    assert.deepEqual(
      heard,
      Array.from({ length: 49 }, (_, n) => n + 2),
    )
  })
})

describeOnPostgres('the event relay', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('an event that commits late is heard, and one rolled back is waited for no longer', async () => {
    const { database } = open
    await using relay = openRelay({ database, log, pollMs: 20 })
    const heard: number[] = []
    relay.subscribe(({ version }) => heard.push(version))
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
    const hold = Promise.withResolvers<void>()
    const drawn = Promise.withResolvers<void>()
    const late = database.transaction(async (tx) => {
      await appendEvent(tx, event(1))
      drawn.resolve()
      await hold.promise
    })
    await drawn.promise
    await database.transaction((tx) => appendEvent(tx, event(2)))
    await assert.rejects(
      database.transaction(async (tx) => {
        await appendEvent(tx, event(3))
        throw new Error('rolled back')
      }),
    )
    await database.transaction((tx) => appendEvent(tx, event(4)))
    await eventually(() => assert.deepEqual(heard, [2, 4]))
    hold.resolve()
    await late
    await eventually(() => assert.deepEqual(heard, [2, 4, 1]))
  })

  test('what was under way when the relay started is not missed', async () => {
    const { database } = open
    const hold = Promise.withResolvers<void>()
    const drawn = Promise.withResolvers<void>()
    const late = database.transaction(async (tx) => {
      await appendEvent(tx, event(7))
      drawn.resolve()
      await hold.promise
    })
    await drawn.promise
    await using relay = openRelay({ database, log, pollMs: 20 })
    const heard: number[] = []
    relay.subscribe(({ version }) => heard.push(version))
    // Other transactions come and go meanwhile, and the relay reads the log several times.
    for (let version = 8; version < 20; version++) {
      await database.transaction((tx) => appendEvent(tx, event(version)))
      await sql`SELECT pg_sleep(0.01)`.execute(database.db)
    }
    const trusted = relay.currentAsOf()
    hold.resolve()
    await late
    assert.equal(trusted, undefined, 'no cache is trusted before the start is decided')
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
  })

  test('16 writers with random lengths and aborts: nothing lost, nothing twice', async () => {
    const { database } = open
    await using relay = openRelay({ database, log, pollMs: 20 })
    const heard: LoggedEvent[] = []
    relay.subscribe((e) => heard.push(e))
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
    const committed = new Set<number>()
    let version = 100
    const writer = async () => {
      for (let n = 0; n < 40; n++) {
        const mine = [++version, ++version]
        const abort = Math.random() < 0.3
        const write = database.transaction(async (tx) => {
          for (const v of mine) {
            await appendEvent(tx, event(v))
            await sql`SELECT pg_sleep(${Math.random() * 0.01})`.execute(tx)
          }
          if (abort) throw new Error('abort')
        })
        await write.then(
          () => mine.forEach((v) => void committed.add(v)),
          () => {},
        )
        database.signals.send('events')
      }
    }
    await Promise.all(Array.from({ length: 16 }, writer))
    await eventually(() => assert.equal(heard.length, committed.size))
    assert.deepEqual(new Set(heard.map((e) => e.version)), committed)
  })
})
