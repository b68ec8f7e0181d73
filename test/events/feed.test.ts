// The feed: followers hear of every event of theirs once and in order, whatever order transactions
// commit in, however slow the follower is and wherever it begins.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { sql } from 'kysely'
import pino from 'pino'
import { isAppError } from '../../src/errors.ts'
import { beginEpoch, beginEpochAfterRestore } from '../../src/events/epoch.ts'
import type { LoggedEvent } from '../../src/events/events.ts'
import type { EventFeed } from '../../src/events/feed.ts'
import { readLogState } from '../../src/events/log.ts'
import type { Position } from '../../src/events/position.ts'
import { purgeEvents } from '../../src/events/purge.ts'
import { openRelay, type Relay } from '../../src/events/relay.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { change, followed, insertProduct, withSessions } from './support.ts'

const log = pino({ level: 'silent' })
const everything = { userId: undefined }
const never = new AbortController().signal
const WRITERS = 64
const ROUNDS = 12

async function positionOf(feed: EventFeed): Promise<Position> {
  return (await feed.position(never)) ?? assert.fail('no position')
}

/** Ids of what is in the log after a position. */
async function idsAfter({ database }: TestDatabase, { id }: Position, productId?: string) {
  const whose = productId === undefined ? sql`true` : sql`product_id = ${productId}`
  const { rows } = await sql<{ id: number }>`
    SELECT id FROM events WHERE id > ${id} AND ${whose} ORDER BY id`.execute(database.db)
  return rows.map((row) => row.id)
}

const idsOf = (events: readonly LoggedEvent[]) => events.map(({ id }) => id)
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

describeOnEachDatabase('the feed of the log', (engine) => {
  let open: TestDatabase
  let relay: Relay
  before(async () => {
    open = await engine.create()
    relay = openRelay({ database: open.database, log, pollMs: 50 })
  })
  after(async () => {
    await relay[Symbol.asyncDispose]()
    await open[Symbol.asyncDispose]()
  })
  const changes = async (productId: string, count: number) => {
    for (let n = 0; n < count; n++) await open.database.transaction((tx) => change(tx, productId))
    open.database.signals.send('events')
  }

  test('going on from any place gives what an uninterrupted reader had', async () => {
    const { feed } = relay
    const start = await positionOf(feed)
    const products = [await insertProduct(open.database), await insertProduct(open.database)]
    await using uninterrupted = followed(feed, everything, { start })
    for (let n = 0; n < 25; n++) await changes(products[n % 2] ?? '', 10)
    await eventually(() => assert.equal(uninterrupted.events.length, 250))
    assert.deepEqual(idsOf(uninterrupted.events), await idsAfter(open, start))

    const places = fc.array(fc.nat(249), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(places, fc.constantFrom('all', ...products), async (stops, whose) => {
        const mine = uninterrupted.events.filter((e) => whose === 'all' || e.productId === whose)
        const scope = whose === 'all' ? everything : { productId: whose }
        const got: LoggedEvent[] = []
        let place = start
        for (const stop of [...stops.sort((a, b) => a - b), mine.length]) {
          if (stop > mine.length) continue
          await using following = followed(feed, scope, { start: place })
          const wanted = Math.max(0, stop - got.length)
          await eventually(() => assert.ok(following.events.length >= wanted))
          got.push(...following.events.slice(0, wanted))
          place = { ...place, id: got.at(-1)?.id ?? start.id }
        }
        assert.deepEqual(got, mine)
      }),
      { numRuns: 25 },
    )
  })

  test('a consumer that is slower than the log grows misses nothing', async () => {
    const start = await positionOf(relay.feed)
    const productId = await insertProduct(open.database)
    const held = Promise.withResolvers<void>()
    const options = { start, pause: () => held.promise }
    await using one = followed(relay.feed, { productId }, options)
    await using all = followed(relay.feed, everything, options)
    await using mine = followed(relay.feed, { userId: 'u' }, options)
    await changes(productId, 1)
    await eventually(() => assert.ok(one.events.length > 0 && all.events.length > 0))
    // More than wait for anybody in memory.
    await changes(productId, 700)
    held.resolve()
    await eventually(() => {
      for (const { events } of [one, all, mine]) assert.equal(events.length, 701)
    })
    for (const { events } of [one, all, mine]) {
      assert.deepEqual(idsOf(events), await idsAfter(open, start))
    }
  })

  test('the whole log is followed in bounded steps, for a user with few events too', async () => {
    const start = await positionOf(relay.feed)
    const productId = await insertProduct(open.database)
    await sql`
      INSERT INTO events (user_id, product_id, type, data)
      SELECT CASE WHEN n % 9000 = 0 THEN 'rare' ELSE 'u' END, ${productId}, 'product.updated',
        jsonb_build_object('version', n)
      FROM generate_series(1, 30000) AS n`.execute(open.database.db)
    open.database.signals.send('events')
    await using rare = followed(relay.feed, { userId: 'rare' }, { start })
    await using one = followed(relay.feed, { productId }, { start })
    await eventually(() => assert.equal(rare.events.length, 3))
    await eventually(() => assert.equal(one.events.length, 30_000))
    assert.deepEqual(idsOf(one.events), await idsAfter(open, start, productId))
  })

  test('what is removed for its age is told to those who come back, and to nobody else', async () => {
    const productId = await insertProduct(open.database)
    await changes(productId, 3)
    const start = await positionOf(relay.feed)
    const fresh = (await idsAfter(open, { ...start, id: 0 }, productId)).at(-1) ?? 0
    const old = fresh - 1
    await sql`UPDATE events SET at = now() - interval '2 hours' WHERE id <= ${old}`.execute(
      open.database.db,
    )
    const purges = Array.from({ length: 4 }, () =>
      purgeEvents(open.database.db, 60 * 60_000, never),
    )
    const purged = (await Promise.all(purges)).reduce((sum, count) => sum + count, 0)
    assert.ok(purged > 30_000, 'everything older than an hour, in several bites')
    assert.deepEqual(await idsAfter(open, { ...start, id: 0 }), [fresh])

    await using reached = followed(relay.feed, everything, { start: { ...start, id: old } })
    await using missed = followed(relay.feed, everything, { start: { ...start, id: old - 1 } })
    await eventually(() => assert.ok(missed.lost))
    await eventually(() => assert.deepEqual(idsOf(reached.events), [fresh]))
    assert.equal(await purgeEvents(open.database.db, 60 * 60_000, never), 0)
  })

  test('a new epoch ends every follower, and whoever comes back with the old one', async () => {
    const productId = await insertProduct(open.database)
    const start = await positionOf(relay.feed)
    await using one = followed(relay.feed, { productId }, { start })
    await using all = followed(relay.feed, everything, { start })
    await changes(productId, 1)
    await eventually(() => assert.ok(one.events.length === 1 && all.events.length === 1))
    await beginEpoch(open.database.db)
    await eventually(() => assert.ok(one.lost && all.lost))
    const next = await eventually(async () => {
      const position = await positionOf(relay.feed)
      assert.notEqual(position.epoch, start.epoch)
      return position
    })
    await using late = followed(relay.feed, everything, { start })
    await using again = followed(relay.feed, everything, { start: next })
    await eventually(() => assert.ok(late.lost))
    await changes(productId, 1)
    await eventually(() => assert.equal(again.events.length, 1))
  })

  test('the epoch stays while the log does, and changes when its rows were put back', async () => {
    const epoch = async () => {
      await using other = openRelay({ database: open.database, log, pollMs: 50 })
      return (await positionOf(other.feed)).epoch
    }
    const before = await epoch()
    assert.equal(await epoch(), before)
    await sql`TRUNCATE events`.execute(open.database.db)
    const after = await epoch()
    assert.notEqual(after, before)
    assert.equal(await epoch(), after)
  })
})

describeOnPostgres('the feed of the log', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test(`${WRITERS} writers with random lengths and aborts: every reader has everything once and in order`, async () => {
    await using relay = openRelay({ database: open.database, log, pollMs: 20 })
    await using writing = await withSessions(open, WRITERS)
    const { feed } = relay
    const heard: LoggedEvent[] = []
    using _listening = relay.subscribe((event) => heard.push(event))
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
    const start = await positionOf(feed)
    const users = ['u', 'v']
    const products = await Promise.all(
      Array.from({ length: 12 }, (_, n) => insertProduct(open.database, users[n % 2])),
    )
    await using followers = new AsyncDisposableStack()
    const follow = (scope: Parameters<typeof followed>[1], at: Position, slow: boolean) =>
      followers.use(
        followed(feed, scope, {
          start: at,
          ...(slow ? { pause: () => pause(Math.random() * 60) } : {}),
        }),
      )
    const all = [follow(everything, start, false), follow(everything, start, true)]
    const ofUsers = users.map((userId) => follow({ userId }, start, false))
    const ofProducts = products.map((productId, n) => follow({ productId }, start, n % 2 === 0))

    const write = async () => {
      for (let n = 0; n < ROUNDS; n++) {
        // In one order, or two writers would wait for each other.
        const at = Math.floor(Math.random() * products.length)
        const mine = [at, Math.floor(Math.random() * products.length)].sort((a, b) => a - b)
        const work = writing.transaction(async (tx) => {
          for (const product of mine) {
            await change(tx, products[product] ?? '', users[product % 2])
            await sql`SELECT pg_sleep(${Math.random() ** 4 * 0.08})`.execute(tx)
          }
          if (Math.random() < 0.25) throw new Error('abort')
        })
        await work.catch((error: Error) => {
          // On a busy machine the server may give up on one: another abort.
          if (error.message !== 'abort' && !isAppError(error, 'unavailable')) throw error
        })
        writing.signals.send('events')
      }
    }
    const joined: { at: Position; following: ReturnType<typeof followed> }[] = []
    const join = async () => {
      for (let n = 0; n < 10; n++) {
        const at = await positionOf(feed)
        joined.push({ at, following: follow(everything, at, n % 2 === 0) })
        await pause(100)
      }
    }
    await Promise.all([join(), ...Array.from({ length: WRITERS }, write)])

    const expected = await idsAfter(open, start)
    await eventually(() => {
      for (const { events } of all) assert.equal(events.length, expected.length)
      assert.equal(heard.length, expected.length)
    })
    for (const { events } of all) assert.deepEqual(idsOf(events), expected)
    assert.deepEqual(
      idsOf(heard).sort((a, b) => a - b),
      expected,
    )
    for (const [n, { events }] of ofUsers.entries()) {
      const mine = all[0]?.events.filter(({ userId }) => userId === users[n])
      await eventually(() => assert.equal(events.length, mine?.length))
      assert.deepEqual(events, mine)
    }
    for (const [n, { events }] of ofProducts.entries()) {
      const mine = await idsAfter(open, start, products[n])
      await eventually(() => assert.equal(events.length, mine.length))
      assert.deepEqual(idsOf(events), mine)
      assert.deepEqual(
        events.map(({ version }) => version),
        mine.map((_, at) => at + 2),
        'in the order of versions',
      )
    }
    for (const { at, following } of joined) {
      const mine = expected.filter((id) => id > at.id)
      await eventually(() => assert.equal(following.events.length, mine.length))
      assert.deepEqual(idsOf(following.events), mine)
    }
  })

  test('a transaction that holds an event open delays the feed of all and nothing else', async () => {
    await using relay = openRelay({ database: open.database, log, pollMs: 20 })
    const start = await positionOf(relay.feed)
    const [held, free] = [await insertProduct(open.database), await insertProduct(open.database)]
    await using all = followed(relay.feed, everything, { start })
    await using one = followed(relay.feed, { productId: free }, { start })
    const heard: LoggedEvent[] = []
    using _listening = relay.subscribe((event) => heard.push(event))
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))

    const hold = Promise.withResolvers<void>()
    const written = Promise.withResolvers<void>()
    const heldSince = performance.now()
    const foreign = open.database.transaction(async (tx) => {
      await change(tx, held)
      written.resolve()
      await hold.promise
    })
    await written.promise
    for (let n = 0; n < 10; n++) {
      await open.database.transaction((tx) => change(tx, free))
      open.database.signals.send('events')
      const asked = performance.now()
      await eventually(() => {
        assert.equal(one.events.length, n + 1)
        assert.equal(heard.length, n + 1)
        // Caches trust their memory by this.
        assert.ok((relay.currentAsOf() ?? 0) > asked)
      })
    }
    assert.equal(all.events.length, 0)
    const { delay_ms } = await relay.check()
    assert.ok(delay_ms > 0 && delay_ms <= performance.now() - heldSince, `${delay_ms} ms`)
    hold.resolve()
    await foreign
    await eventually(() => assert.equal(all.events.length, 11))
    assert.deepEqual(idsOf(all.events), await idsAfter(open, start))
    await eventually(async () => assert.deepEqual(await relay.check(), { delay_ms: 0 }))
  })

  test('a stranger’s transaction that writes no event delays nothing, not even a start', async () => {
    const productId = await insertProduct(open.database)
    const hold = Promise.withResolvers<void>()
    const written = Promise.withResolvers<void>()
    const stranger = open.database.transaction(async (tx) => {
      await sql`CREATE TABLE theirs ()`.execute(tx)
      await sql`LOCK TABLE events IN ACCESS SHARE MODE`.execute(tx)
      written.resolve()
      await hold.promise
    })
    await written.promise
    await using relay = openRelay({ database: open.database, log, pollMs: 20 })
    const start = await positionOf(relay.feed)
    await using all = followed(relay.feed, everything, { start })
    await open.database.transaction((tx) => change(tx, productId))
    open.database.signals.send('events')
    await eventually(() => assert.equal(all.events.length, 1))
    hold.resolve()
    await stranger
  })

  test('a relay that starts while events are held open misses nothing of their products', async () => {
    const [productId, other] = [
      await insertProduct(open.database),
      await insertProduct(open.database),
    ]
    const holdOpen = async (product: string) => {
      const hold = Promise.withResolvers<void>()
      const written = Promise.withResolvers<void>()
      const ended = open.database.transaction(async (tx) => {
        await change(tx, product)
        written.resolve()
        await hold.promise
      })
      await written.promise
      return async () => {
        hold.resolve()
        await ended
      }
    }
    await beginEpochAfterRestore(open.database.db)
    const state = await readLogState(open.database.db)
    const [commit, commitOther] = [await holdOpen(productId), await holdOpen(other)]
    // Out of what the relay looks back over when it starts.
    await sql`SELECT setval('events_id_seq', nextval('events_id_seq') + 10000)`.execute(
      open.database.db,
    )
    await using relay = openRelay({ database: open.database, log, pollMs: 20 })
    const start = { epoch: state.epoch, id: state.lastId }
    await using one = followed(relay.feed, { productId }, { start })
    await eventually(async () => assert.ok((await relay.check()).delay_ms > 0))
    await commit()
    await open.database.transaction((tx) => change(tx, productId))
    open.database.signals.send('events')
    await eventually(() => assert.equal(one.events.length, 2))
    assert.deepEqual(idsOf(one.events), await idsAfter(open, start, productId))
    assert.equal(relay.currentAsOf(), undefined, 'no cache is trusted before the start is decided')
    await commitOther()
    await eventually(() => assert.ok(relay.currentAsOf() !== undefined))
  })
})

const run = promisify(execFile)

describeOnPostgres('the epoch of a log that was dumped', () => {
  const epochOf = async ({ database }: TestDatabase) => {
    await using relay = openRelay({ database, log, pollMs: 50 })
    return (await positionOf(relay.feed)).epoch
  }
  const dump = async ({ url = '' }: TestDatabase) =>
    (await run('pg_dump', ['--clean', '--if-exists', url], { maxBuffer: 2 ** 26 })).stdout
  const restore = async ({ url = '' }: TestDatabase, text: string) => {
    const psql = run('psql', ['-q', '-v', 'ON_ERROR_STOP=1', url])
    psql.child.stdin?.end(text)
    await psql
  }

  test('is another one after a restore, elsewhere or over itself', async () => {
    await using origin = await postgresEngine.create()
    const productId = await insertProduct(origin.database)
    await origin.database.transaction((tx) => change(tx, productId))
    const epoch = await epochOf(origin)
    assert.equal(await epochOf(origin), epoch)
    const text = await dump(origin)
    {
      await using elsewhere = await postgresEngine.create()
      await restore(elsewhere, text)
      assert.notEqual(await epochOf(elsewhere), epoch)
    }
    assert.equal(await epochOf(origin), epoch, 'a dump changes nothing where it was made')
    await restore(origin, text)
    assert.notEqual(await epochOf(origin), epoch)
  })
})
