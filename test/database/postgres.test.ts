// PostgreSQL going away and coming back, and refusing: against a server of the tests' own.

import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import type { Database } from '../../src/database/database.ts'
import { type DatabaseOptions, openDatabase } from '../../src/database/open.ts'
import type { PostgresOptions } from '../../src/database/postgres.ts'
import { waitForDatabase } from '../../src/database/wait.ts'
import { isAppError } from '../../src/errors.ts'
import { eventually } from '../support/eventually.ts'
import { startPooler } from '../support/pooler.ts'
import {
  describeWithPostgresServer,
  type PostgresServer,
  startPostgresServer,
} from '../support/postgres-server.ts'

const isUnavailable = (error: unknown) => {
  assert.ok(isAppError(error, 'unavailable'), String(error))
  assert.ok(error.retryAfterMs !== undefined && error.retryAfterMs > 0)
  assert.ok(error.cause === undefined || error.cause instanceof Error)
  return true
}

describeWithPostgresServer('PostgreSQL', () => {
  let server: PostgresServer
  before(async () => {
    server = await startPostgresServer()
  })
  after(() => server[Symbol.asyncDispose]())
  beforeEach(() => server.start()) // it runs already, unless a test failed half-way

  const optionsFor = (changes: Partial<PostgresOptions> = {}): DatabaseOptions => ({
    engine: 'postgres',
    connection: { connectionString: server.url },
    poolSize: 4,
    ...changes,
  })
  const open = (changes?: Partial<PostgresOptions>) => openDatabase(optionsFor(changes))

  /** Ends sessions from outside, as an operator or a failover does. */
  const terminate = async (where: string) => {
    const client = new pg.Client(server.url)
    await client.connect()
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND application_name = 'vitrine' AND ${where}`,
    )
    await client.end()
    return rowCount
  }

  /** Resolves once a signal of another process wakes its listeners; a reconnect wakes them as well. */
  const untilHeard = async ({ signals }: Database) => {
    const heard = Promise.withResolvers<void>()
    using _listening = signals.listen('events', heard.resolve)
    const other = new pg.Client(server.url)
    await other.connect()
    await other.query('NOTIFY vitrine_events')
    await other.end()
    await heard.promise
  }

  test('a session has the settings that statements rely on', async () => {
    await using database = await open()
    const { rows } = await sql`
      SELECT current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS statement,
        current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('jit') AS jit,
        current_setting('work_mem') AS memory, current_setting('application_name') AS name`.execute(
      database.db,
    )
    assert.deepEqual(rows, [
      {
        zone: 'UTC',
        statement: '30s',
        idle: '30s',
        jit: 'off',
        memory: '32MB',
        name: 'vitrine',
      },
    ])
  })

  test('a server that stops makes every call unavailable, and all is well when it is back', async () => {
    await using database = await open()
    await database.ping()
    await server.stop()
    for (let i = 0; i < 8; i++) {
      await assert.rejects(sql`SELECT 1`.execute(database.db), isUnavailable)
      await assert.rejects(
        database.transaction(async (tx) => await sql`SELECT 1`.execute(tx)),
        isUnavailable,
      )
      await assert.rejects(database.ping(), isUnavailable)
    }
    await server.start()
    await Promise.all(Array.from({ length: 8 }, () => sql`SELECT 1`.execute(database.db)))
    await untilHeard(database)
  })

  test('a session that is ended in mid-statement or between statements is unavailable, the next one works', async () => {
    await using database = await open()
    const sleeping = sql`SELECT pg_sleep(60)`.execute(database.db)
    const refused = assert.rejects(sleeping, isUnavailable)
    await eventually(async () => assert.equal(await terminate(`query LIKE '%pg_sleep(60)'`), 1))
    await refused

    const between = database.transaction(async (tx) => {
      await sql`SELECT 1 AS before`.execute(tx)
      assert.equal(await terminate(`state = 'idle in transaction'`), 1)
      await sql`SELECT 1`.execute(tx)
    })
    await assert.rejects(between, isUnavailable)
    await Promise.all(Array.from({ length: 8 }, () => sql`SELECT 1`.execute(database.db)))
  })

  test('idle sessions that break are replaced without anybody noticing', async () => {
    await using database = await open()
    await Promise.all(
      Array.from({ length: 4 }, () => sql`SELECT pg_sleep(0.05)`.execute(database.db)),
    )
    assert.ok(((await terminate(`state = 'idle'`)) ?? 0) >= 4)
    await eventually(() => sql`SELECT 1`.execute(database.db))
    await Promise.all(Array.from({ length: 8 }, () => sql`SELECT 1`.execute(database.db)))
  })

  test('a pool that is used up makes others wait, but not for ever', async () => {
    await using database = await open({ poolSize: 1, acquireTimeoutMs: 1_000 })
    const entered = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    using _finished = { [Symbol.dispose]: finish.resolve } // closing waits for it after a failure too
    const holding = database.transaction(async () => {
      entered.resolve()
      await finish.promise
    })
    await entered.promise
    await assert.rejects(sql`SELECT 1`.execute(database.db), isUnavailable)
    finish.resolve()
    await holding
    await database.ping()
  })

  test('a server is there while every session is held, and only then: not when it is silent', async () => {
    await using database = await open({ poolSize: 1 })
    const finish = Promise.withResolvers<void>()
    using _finished = { [Symbol.dispose]: finish.resolve }
    const entered = Promise.withResolvers<void>()
    const holding = database.transaction(async () => {
      entered.resolve()
      await finish.promise
    })
    await entered.promise
    await database.ping(10_000)
    try {
      await server.freeze()
      await assert.rejects(database.ping(200), isUnavailable)
    } finally {
      await server.thaw()
    }
    await server.stop()
    await assert.rejects(database.ping(), isUnavailable)
    await server.start()
    finish.resolve()
    await assert.rejects(holding, isUnavailable)
    await database.ping(10_000)
  })

  test('a statement over its time is unavailable, and its session is used again', async () => {
    await using database = await open({ poolSize: 1, statementTimeoutMs: 1_000 })
    const session = () => sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(database.db)
    const [before] = (await session()).rows
    await assert.rejects(sql`SELECT pg_sleep(60)`.execute(database.db), isUnavailable)
    assert.deepEqual((await session()).rows, [before])
  })

  test('a session that falls silent is given up on', async () => {
    await using database = await open({ poolSize: 1, statementTimeoutMs: 1_000 })
    // Not even the server's own limit ends it: as if the network had swallowed the answer.
    const silent = database.transaction(async (tx) => {
      await sql`SET LOCAL statement_timeout = 0`.execute(tx)
      await sql`SELECT pg_sleep(60)`.execute(tx)
    })
    await assert.rejects(silent, isUnavailable)
    await database.ping()
  })

  test('a server that falls silent is noticed long before a statement may end, then refused at once until it answers', async () => {
    const told: string[] = []
    const tell = (text: unknown) => told.push(String(text))
    const log = { warn: tell, info: tell } as never
    await using database = await open({ acquireTimeoutMs: 20_000, log })
    await Promise.all(
      Array.from({ length: 4 }, () => sql`SELECT pg_sleep(0.05)`.execute(database.db)),
    )
    const refuse = () => assert.rejects(sql`SELECT 1`.execute(database.db), isUnavailable)
    const timed = async (work: () => Promise<unknown>) => {
      const startedAt = performance.now()
      await work()
      return performance.now() - startedAt
    }
    try {
      await server.freeze()
      const transaction = () =>
        assert.rejects(
          database.transaction(async (tx) => await sql`SELECT 1`.execute(tx)),
          isUnavailable,
        )
      // More than there are sessions: some wait for an answer, some for a session.
      const noticedMs = await timed(() =>
        Promise.all([transaction(), ...Array.from({ length: 8 }, refuse)]),
      )
      assert.ok(noticedMs < 20_000, `${noticedMs} ms of the 30,000 of a statement`)
      const refusedMs = await timed(async () => {
        for (let n = 0; n < 100; n++) await refuse()
      })
      assert.ok(refusedMs < 5_000, `${refusedMs} ms for a hundred`)
    } finally {
      await server.thaw()
    }
    await eventually(() => sql`SELECT 1`.execute(database.db))
    await untilHeard(database)
    assert.deepEqual(
      told.filter((text) => text.startsWith('the database')),
      [
        'the database has fallen silent: statements are refused until it answers',
        'the database answers again',
      ],
    )
  })

  test('a server that is silent holds up no end', async () => {
    const database = await open()
    try {
      await server.freeze()
      const closed = database[Symbol.asyncDispose]().then(() => 'closed')
      assert.equal(await Promise.race([closed, sleep(5_000, 'still open')]), 'closed')
    } finally {
      await server.thaw()
    }
  })

  test('a statement that takes long is left alone, even where the server has no session to spare', async () => {
    await using administrator = await open()
    await sql`CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2`.execute(administrator.db)
    const url = new URL(server.url)
    url.username = url.password = 'few'
    await using database = await open({ connection: { connectionString: url.href }, poolSize: 1 })
    const takeLong = ({ db }: Database) => sql`SELECT pg_sleep(10)`.execute(db)
    await Promise.all([takeLong(administrator), takeLong(database)])
  })

  test('a pooler that lets in and has no session to spare is not taken for silent', async () => {
    await using pooler = await startPooler(server.port)
    const url = new URL(server.url)
    url.port = String(pooler.port)
    await using database = await open({ connection: { connectionString: url.href } })
    await using administrator = await open()
    pooler.pause()
    const waiting = sql`SELECT 1`.execute(database.db)
    // Longer than it takes to suspect silence, and to conclude it.
    await Promise.race([waiting, sql`SELECT pg_sleep(10)`.execute(administrator.db)])
    pooler.resume()
    await waiting
  })

  test('a session that is let in and then not answered is waited for as long as any other', async () => {
    await using pooler = await startPooler(server.port)
    const url = new URL(server.url)
    url.port = String(pooler.port)
    const connection = { connectionString: url.href }
    await using database = await open({ connection, acquireTimeoutMs: 2_000 })
    const finish = Promise.withResolvers<void>()
    const entered = Promise.withResolvers<void>()
    const holding = database.transaction(async () => {
      entered.resolve()
      await finish.promise
    })
    await entered.promise
    pooler.pause()
    const startedAt = performance.now()
    await assert.rejects(sql`SELECT 1`.execute(database.db), isUnavailable)
    const refusedMs = performance.now() - startedAt
    pooler.resume()
    finish.resolve()
    await Promise.allSettled([holding])
    // Before a server is suspected of silence, and long before a statement may end.
    assert.ok(refusedMs < 5_000, `${refusedMs} ms of 2,000`)
    await database.ping()
  })

  test('a table that changes its shape under a named statement costs one answer', async () => {
    await using database = await open({ poolSize: 1 })
    const { db } = database
    await sql`CREATE TABLE shapes (a int)`.execute(db)
    const read = () => sql`SELECT * FROM shapes`.execute(db)
    await read()
    await sql`ALTER TABLE shapes ADD b int`.execute(db)
    await assert.rejects(read(), isUnavailable)
    await read()
  })

  test('what cannot be cured by waiting is said at once, with what to check, and never the password', async () => {
    const wrong: [pg.ClientConfig, RegExp][] = [
      [{ password: 'not-the-secret' }, /user "vitrine" refused: .*check the user and the password/],
      [{ password: '' }, /none is set/],
      [{ database: 'nowhere' }, /database "nowhere".* refused: .*create the database/],
      [{ ssl: true }, /check the TLS mode/],
    ]
    const { hostname: host, port, username: user, password } = new URL(server.url)
    for (const [change, message] of wrong) {
      const connection = {
        host,
        port: Number(port),
        user,
        password,
        database: 'postgres',
        ...change,
      }
      const waiting = waitForDatabase(optionsFor({ connection }), {
        timeoutMs: 60_000,
        log: { warn: (text: unknown) => assert.fail(String(text)) } as never,
      })
      await assert.rejects(waiting, (error: Error) => {
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /secret/)
        assert.match(error.message, new RegExp(`127.0.0.1:${port}`))
        return true
      })
    }
  })

  test('a session that could not be opened leaves no socket behind', async () => {
    // The server waits a minute for the password that the driver does not have.
    const { hostname: host, port, username: user } = new URL(server.url)
    const connection = { host, port: Number(port), user, password: '', database: 'postgres' }
    const socketsOf = () =>
      process.getActiveResourcesInfo().filter((resource) => resource.startsWith('TCP'))
    const haveGone = () => assert.deepEqual(socketsOf(), [])
    await eventually(haveGone) // those of the tests before
    await assert.rejects(openDatabase(optionsFor({ connection })), /none is set/)
    await eventually(haveGone, 20_000)
  })

  test('a server that starts late is waited for, one line for each try', async () => {
    await server.stop()
    const lines: string[] = []
    const opening = waitForDatabase(optionsFor(), {
      timeoutMs: 120_000,
      everyMs: 20,
      log: { warn: (text: unknown) => lines.push(String(text)) } as never,
    })
    await eventually(() => assert.ok(lines.length >= 3))
    await server.start()
    await using database = await opening
    await database.ping()
    for (const line of lines)
      assert.match(line, /^PostgreSQL at 127\.0\.0\.1:\d+, database "postgres", user "vitrine" /)
  })

  test('one that does not start is given up on, with what to check', async () => {
    await server.stop()
    const log = { warn: () => {} } as never
    const opening = waitForDatabase(optionsFor(), { timeoutMs: 100, everyMs: 20, log })
    await assert.rejects(opening, /gave up after \d+ s: check that the server runs, and its host/)
    const stopping = AbortSignal.timeout(50)
    await assert.rejects(
      waitForDatabase(optionsFor(), { timeoutMs: 60_000, everyMs: 20, log, signal: stopping }),
      { name: 'TimeoutError' },
    )
    await server.start()
  })

  test('a signal reaches other processes, and listeners here once', async () => {
    await using here = await open()
    await using there = await open()
    const roundTrip = async () => {
      const heard = Promise.withResolvers<void>()
      using _listening = here.signals.listen('events', heard.resolve)
      there.signals.send('events')
      await heard.promise
    }
    await roundTrip() // whatever was signalled when listening started has arrived
    let wakes = 0
    using _here = here.signals.listen('jobs', () => wakes++)
    const heard = Promise.withResolvers<void>()
    using _there = there.signals.listen('jobs', heard.resolve)
    here.signals.send('jobs')
    await heard.promise
    await roundTrip() // arrives behind our own notification, on the same session
    assert.equal(wakes, 1)
  })

  test('signals of other processes that are lost and regained are told once each', async () => {
    const told: string[] = []
    const log = {
      warn: (_fields: object, text: string) => told.push(text),
      info: (text: string) => told.push(text),
    } as never
    const lost = 'signals of other processes do not arrive: polling until they do'
    await using database = await open({ log })
    assert.deepEqual(told, [])
    await server.stop()
    await eventually(() => assert.deepEqual(told, [lost]))
    await server.start()
    await untilHeard(database)
    assert.deepEqual(told, [lost, 'signals of other processes arrive again'])
  })

  test('a thousand signals become a few notifications', async () => {
    await using database = await open()
    const listener = new pg.Client(server.url)
    const heard: string[] = []
    listener.on('notification', ({ channel }) => heard.push(channel))
    await listener.connect()
    await listener.query('LISTEN vitrine_jobs; LISTEN vitrine_events')
    for (let i = 0; i < 1_000; i++) {
      database.signals.send('jobs')
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    database.signals.send('events')
    await eventually(() => assert.ok(heard.includes('vitrine_events')))
    await listener.end()
    assert.ok(heard.length <= 30, `${heard.length} notifications`)
  })

  test('listeners are woken after each reconnect, for what they may have missed', async () => {
    await using database = await open()
    await untilHeard(database)
    for (let round = 0; round < 3; round++) {
      const woken = Promise.withResolvers<void>()
      using _listening = database.signals.listen('jobs', woken.resolve)
      // The next one listens already when listeners are woken; the former may not be gone yet.
      const ended = await terminate(`query LIKE '%pg_notify%' OR query LIKE 'LISTEN%'`)
      assert.ok((ended ?? 0) >= 1)
      await woken.promise
    }
  })
})
