// What the database port promises, on every engine: each one's test file calls this.

import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { type RawBuilder, sql } from 'kysely'
import type { Executor, Tx } from '../../src/database/database.ts'
import { type DatabaseOptions, openDatabase } from '../../src/database/open.ts'
import { isUniqueViolation } from '../../src/database/sql-errors.ts'
import { isAppError } from '../../src/errors.ts'
import type { TestDatabase, TestEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

export function describeDatabase(engine: TestEngine): void {
  describe(`the database port (${engine.name})`, () => {
    let open: TestDatabase
    before(async () => {
      open = await engine.create()
    })
    after(() => open[Symbol.asyncDispose]())

    const answer = async (query: RawBuilder<unknown>) => {
      const { rows } = await query.execute(open.database.db)
      return rows[0] as Record<string, unknown>
    }
    const users = async ({ db }: { db: Executor } = open.database) => {
      const { rows } = await sql<{ id: string }>`SELECT id FROM users ORDER BY id`.execute(db)
      return rows.map(({ id }) => id)
    }
    const addUser = (executor: Executor, id: string) =>
      sql`INSERT INTO users (id) VALUES (${id})`.execute(executor)

    /** A database of its own, opened with so many sessions where there can be several, and patience for whoever waits. */
    const openOther = async (poolSize: number) => {
      await using stack = new AsyncDisposableStack()
      const other = stack.use(await engine.create())
      await other.database[Symbol.asyncDispose]()
      const options: DatabaseOptions =
        other.options.engine === 'postgres'
          ? { ...other.options, poolSize, acquireTimeoutMs: 60_000 }
          : other.options
      const database = stack.use(await openDatabase(options))
      const owned = stack.move()
      return { database, options, [Symbol.asyncDispose]: () => owned.disposeAsync() }
    }

    describe('values', () => {
      test('a row reads the same whoever answers, times to the microsecond', async () => {
        const row = await answer(sql`
        SELECT '2026-11-20 08:00:00.123456+00'::timestamptz AS at,
          '2026-11-20 09:00:00+01'::timestamptz AS elsewhere, '2026-11-20'::date AS day,
          '2026-11-20 08:00'::timestamp AS nowhere, 7::int8 AS n, 7::int4 AS i, 0.1::float8 AS f,
          1.50::numeric AS price, '{"a":[1]}'::jsonb AS data, '[1,null]'::json AS json, true AS yes,
          NULL AS nothing, '\\x00ff'::bytea AS bytes, '12'::xid8 AS xid,
          '0199f3c2-0000-7000-8000-000000000001'::uuid AS id, '1 day'::interval AS time`)
        assert.deepEqual(row, {
          at: '2026-11-20T08:00:00.123456Z',
          elsewhere: '2026-11-20T08:00:00.000000Z',
          day: '2026-11-20',
          nowhere: '2026-11-20 08:00:00',
          n: 7,
          i: 7,
          f: 0.1,
          price: '1.50',
          data: { a: [1] },
          json: [1, null],
          yes: true,
          nothing: null,
          bytes: Buffer.from([0, 255]),
          xid: '12',
          id: '0199f3c2-0000-7000-8000-000000000001',
          time: '1 day',
        })
      })

      test('arrays read the same, item by item', async () => {
        const row = await answer(sql`
        SELECT '{a,NULL,"NULL","b\\"c",""}'::text[] AS texts, '{}'::text[] AS none,
          '{0199f3c2-0000-7000-8000-000000000001}'::uuid[] AS ids, '{1,2}'::int8[] AS counts,
          '{1.50}'::numeric[] AS prices, '{t,f}'::bool[] AS flags,
          ARRAY['2026-11-20 08:00:00.000001+00'::timestamptz] AS times,
          ARRAY['{"a":1}'::jsonb] AS documents, '{{1,2},{3,4}}'::int4[] AS nested,
          '{1 day}'::interval[] AS unlisted`)
        assert.deepEqual(row, {
          texts: ['a', null, 'NULL', 'b"c', ''],
          none: [],
          ids: ['0199f3c2-0000-7000-8000-000000000001'],
          counts: [1, 2],
          prices: ['1.50'],
          flags: [true, false],
          times: ['2026-11-20T08:00:00.000001Z'],
          documents: [{ a: 1 }],
          nested: [
            [1, 2],
            [3, 4],
          ],
          unlisted: '{"1 day"}',
        })
      })

      test('what would lose digits or has no moment is refused when read, and the session goes on', async () => {
        const unreadable = [
          sql`SELECT 9007199254740993::int8`,
          sql`SELECT 'infinity'::timestamptz`,
          sql`SELECT '0044-03-15 12:00+00 BC'::timestamptz`,
        ]
        for (const query of unreadable)
          await assert.rejects(query.execute(open.database.db), RangeError)
        assert.deepEqual(await answer(sql`SELECT 1 AS one`), { one: 1 })
      })

      test('the same values are accepted as parameters', async () => {
        const id = '0199f3c2-0000-7000-8000-000000000001'
        const data = JSON.stringify(['a', { b: null }])
        const row = await answer(sql`
        SELECT ${null}::text AS nothing, ${'NULL'}::text AS word, ${['a', null, 'b"c']}::text[] AS texts,
          ${[id]}::uuid[] AS ids, ${[1, 2]}::int8[] AS counts, ${[]}::text[] AS none,
          ${data}::jsonb AS list, ${{ a: [1] }}::jsonb AS object, ${'"text"'}::jsonb AS string,
          ${19.99}::numeric AS price, ${'19.90'}::numeric(12, 2) AS exact, ${true}::boolean AS yes,
          ${5}::int4 AS n, ${'2026-11-20T08:00:00.123456Z'}::timestamptz AS at,
          ${new Date('2026-11-20T08:00:00.5Z')}::timestamptz AS date,
          ${Buffer.from([0, 255])}::bytea AS bytes, ${'žluť ☃ 🎿'}::text AS letters`)
        assert.deepEqual(row, {
          nothing: null,
          word: 'NULL',
          texts: ['a', null, 'b"c'],
          ids: [id],
          counts: [1, 2],
          none: [],
          list: ['a', { b: null }],
          object: { a: [1] },
          string: 'text',
          price: '19.99',
          exact: '19.90',
          yes: true,
          n: 5,
          at: '2026-11-20T08:00:00.123456Z',
          date: '2026-11-20T08:00:00.500000Z',
          bytes: Buffer.from([0, 255]),
          letters: 'žluť ☃ 🎿',
        })
      })

      test('what is absent is no row, and a change of it changes none', async () => {
        const { db } = open.database
        assert.deepEqual((await sql`SELECT id FROM users WHERE id = 'nobody'`.execute(db)).rows, [])
        const removal = await sql`DELETE FROM users WHERE id = 'nobody'`.execute(db)
        assert.deepEqual([removal.rows, removal.numAffectedRows], [[], 0n])
      })

      test('the number of rows that a statement changed is told, behind a CTE too', async () => {
        const { db } = open.database
        const result = await sql`
        WITH names AS (SELECT unnest(${['row-1', 'row-2']}::text[]) AS id)
        INSERT INTO users (id) SELECT id FROM names`.execute(db)
        assert.equal(result.numAffectedRows, 2n)
        await sql`DELETE FROM users`.execute(db)
      })
    })

    describe('transactions', () => {
      test('the outer database inside a transaction is refused, not waited for', async () => {
        const { database } = open
        const inside: (() => Promise<unknown>)[] = [
          () => sql`SELECT 1`.execute(database.db),
          () => database.transaction(async () => {}),
          () => database.exclusive(async () => {}),
        ]
        for (const use of inside)
          await assert.rejects(
            database.transaction(async () => await use()),
            /outer database was used inside a transaction/,
          )
        await database.ping()
      })

      test('what was started in a transaction may use the database once it is over', async () => {
        const { database } = open
        const over = Promise.withResolvers<void>()
        const later = await database.transaction(async () => ({
          result: over.promise.then(() => sql`SELECT 1`.execute(database.db)),
        }))
        over.resolve()
        assert.equal((await later.result).rows.length, 1)
      })

      test('one that throws leaves nothing and poisons nothing', async () => {
        const { database } = open
        await assert.rejects(
          database.transaction(async (tx) => {
            await sql`INSERT INTO users (id) VALUES ('ghost')`.execute(tx)
            await sql`SELECT 1 / 0`.execute(tx)
          }),
          { code: '22012' },
        )
        assert.deepEqual(await users(), [])
      })

      test('one that goes on after a failed statement does not pass for committed', async () => {
        const { database } = open
        await assert.rejects(
          database.transaction(async (tx) => {
            await sql`INSERT INTO users (id) VALUES ('ghost')`.execute(tx)
            await sql`SELECT 1 / 0`.execute(tx).catch(() => {})
          }),
          /abort/i,
        )
        assert.deepEqual(await users(), [])
      })

      test('one that is given up while its statement is under way leaves nothing', async () => {
        const { database } = open
        const reason = new Error('not wanted any more')
        let underWay: Promise<unknown> | undefined
        const given = database.transaction(async (tx) => {
          underWay = addUser(tx, 'ghost')
          throw reason
        })
        await assert.rejects(given, reason)
        await Promise.allSettled([underWay])
        assert.deepEqual(await users(), [])
      })

      test('the session of one that failed serves the next, outside any transaction', async () => {
        await using other = await openOther(1)
        const { database } = other
        const session = async () => {
          const { rows } = await sql<{ pid: number; xid: string | null }>`
          SELECT pg_backend_pid() AS pid, pg_current_xact_id_if_assigned() AS xid`.execute(
            database.db,
          )
          return rows[0]
        }
        const before = await session()
        assert.equal(before?.xid, null)
        const failures = [
          () => Promise.reject(new Error('no')),
          (tx: Tx) => sql`SELECT 1 / 0`.execute(tx),
        ]
        for (const fail of failures) {
          const failing = database.transaction(async (tx) => {
            await addUser(tx, 'ghost')
            await fail(tx)
          })
          await assert.rejects(failing)
          assert.deepEqual(await session(), before)
          await database.transaction(async (tx) => assert.deepEqual(await users({ db: tx }), []))
        }
      })

      test('raw work that throws leaves no transaction behind', async () => {
        const { database } = open
        await assert.rejects(
          database.exclusive(async (session) => {
            await session.script(`BEGIN; INSERT INTO users (id) VALUES ('ghost;')`)
            throw new Error('no')
          }),
          /^Error: no$/,
        )
        assert.deepEqual(await users(), [])
      })
    })

    describe('a duplicate key', () => {
      afterEach(() => sql`DELETE FROM users`.execute(open.database.db))

      test('is told as such, and leaves what was there', async () => {
        const { db } = open.database
        await addUser(db, 'twice')
        await assert.rejects(addUser(db, 'twice'), isUniqueViolation)
        assert.deepEqual(await users(), ['twice'])
      })

      test('in a transaction takes back what came before it', async () => {
        const { database } = open
        await addUser(database.db, 'twice')
        const failing = database.transaction(async (tx) => {
          await addUser(tx, 'once')
          await addUser(tx, 'twice')
        })
        await assert.rejects(failing, isUniqueViolation)
        assert.deepEqual(await users(), ['twice'])
      })
    })

    describe('a hundred at once', () => {
      const hundred = Array.from({ length: 100 }, (_, n) => n)
      const nameOf = (n: number) => `user-${String(n).padStart(2, '0')}`
      let other: Awaited<ReturnType<typeof openOther>>
      before(async () => {
        other = await openOther(16)
      })
      after(() => other[Symbol.asyncDispose]())
      afterEach(() => sql`DELETE FROM users`.execute(other.database.db))

      test('statements have each their own answer', async () => {
        const { db } = other.database
        const asked = hundred.map(async (n) => {
          const { rows } = await sql`SELECT ${n}::int AS n`.execute(db)
          return rows
        })
        assert.deepEqual(
          await Promise.all(asked),
          hundred.map((n) => [{ n }]),
        )
      })

      test('transactions each see their own work, and of those that fail nothing is left', async () => {
        const { database } = other
        const runs = hundred.map((n) =>
          database.transaction(async (tx) => {
            await addUser(tx, nameOf(n))
            const seen = await users({ db: tx })
            assert.ok(seen.includes(nameOf(n)))
            assert.ok(seen.every((id) => id === nameOf(n) || Number(id.slice(-2)) % 2 === 0))
            if (n % 2) throw new Error(nameOf(n))
          }),
        )
        const failed = (await Promise.allSettled(runs)).map((run) =>
          run.status === 'rejected' ? String(run.reason) : undefined,
        )
        assert.deepEqual(
          failed,
          hundred.map((n) => (n % 2 ? `Error: ${nameOf(n)}` : undefined)),
        )
        assert.deepEqual(await users(database), hundred.filter((n) => n % 2 === 0).map(nameOf))
      })

      test('transactions that change one row lose no change', async () => {
        const { database } = other
        await addUser(database.db, 'n: 0')
        const increments = hundred.map(() =>
          database.transaction(async (tx) => {
            const { rows } = await sql<{ id: string }>`SELECT id FROM users FOR UPDATE`.execute(tx)
            const n = Number(rows[0]?.id.slice(3))
            await sql`UPDATE users SET id = ${`n: ${n + 1}`}`.execute(tx)
          }),
        )
        await Promise.all(increments)
        assert.deepEqual(await users(database), ['n: 100'])
      })

      test('of the same key are one that is there and 99 that are told so', async () => {
        const { database } = other
        const runs = await Promise.allSettled(hundred.map(() => addUser(database.db, 'same')))
        const refused = runs.filter((run) => run.status === 'rejected')
        assert.equal(refused.length, 99)
        for (const { reason } of refused) assert.ok(isUniqueViolation(reason), String(reason))
        assert.deepEqual(await users(database), ['same'])
      })
    })

    describe('signals', () => {
      test('many signals wake a listener once, and none after it was disposed', async () => {
        const { signals } = open.database
        let wakes = 0
        const listening = signals.listen('jobs', () => wakes++)
        for (let i = 0; i < 100; i++) signals.send('jobs')
        signals.send('events')
        await eventually(() => assert.equal(wakes, 1))
        listening[Symbol.dispose]()
        const next = Promise.withResolvers<void>()
        using _other = signals.listen('jobs', next.resolve)
        signals.send('jobs')
        await next.promise
        assert.equal(wakes, 1)
      })

      test('a listener may use the database although the sender stands in a transaction', async () => {
        const { database } = open
        const read = Promise.withResolvers<unknown>()
        using _listening = database.signals.listen('jobs', () => {
          read.resolve(sql`SELECT 1`.execute(database.db))
        })
        await database.transaction(async () => {
          database.signals.send('jobs')
          await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
        })
        await read.promise
      })
    })

    test('each statement is shown to the observer before it is sent', async () => {
      await using other = await engine.create()
      await other.database[Symbol.asyncDispose]()
      const seen: string[] = []
      await using database = await openDatabase({
        ...other.options,
        onStatement: (text) => seen.push(text),
      })
      await sql`SELECT ${1}::int`.execute(database.db)
      await database.transaction(async (tx) => await sql`SELECT 2`.execute(tx))
      assert.deepEqual(seen, ['SELECT $1::int', 'begin', 'SELECT 2', 'commit'])
    })

    test('closing waits for what runs and refuses what is new', async () => {
      await using other = await engine.create()
      const { database } = other
      const entered = Promise.withResolvers<void>()
      const finish = Promise.withResolvers<void>()
      const running = database.transaction(async (tx) => {
        entered.resolve()
        await finish.promise
        await sql`INSERT INTO users (id) VALUES ('last')`.execute(tx)
      })
      await entered.promise
      let closed = false
      const closing = database[Symbol.asyncDispose]().then(() => {
        closed = true
      })
      await assert.rejects(sql`SELECT 1`.execute(database.db), (error) =>
        isAppError(error, 'unavailable'),
      )
      await assert.rejects(database.ping(), (error) => isAppError(error, 'unavailable'))
      assert.equal(closed, false)
      finish.resolve()
      await running
      await closing
      await database[Symbol.asyncDispose]()
      await using again = await openDatabase(other.options)
      assert.deepEqual(await users(again), ['last'])
    })

    test('closing while a hundred are under way, most of which wait for a session, waits for all of them', async () => {
      await using other = await openOther(4)
      const { database, options } = other
      const entered = Promise.withResolvers<void>()
      let committed = 0
      const runs = Array.from({ length: 100 }, (_, n) =>
        database
          .transaction(async (tx) => {
            entered.resolve()
            await addUser(tx, `user-${n}`)
          })
          .then(() => committed++),
      )
      const ended = Promise.allSettled(runs)
      await entered.promise
      await database[Symbol.asyncDispose]()
      assert.equal(committed, 100)
      await ended
      await using again = await openDatabase(options)
      assert.equal((await users(again)).length, 100)
    })

    test('what was committed is there whenever it is opened again', async () => {
      await using other = await openOther(4)
      await other.database[Symbol.asyncDispose]()
      const added: string[] = []
      for (const id of ['a', 'b', 'c']) {
        await using again = await openDatabase(other.options)
        assert.deepEqual(await users(again), added)
        await again.transaction(async (tx) => await addUser(tx, id))
        added.push(id)
      }
    })
  })
}
