// What the database port promises, on every engine.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'

describeOnEachDatabase('the database port', (engine) => {
  let open: TestDatabase
  before(async () => {
    open = await engine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('a row reads the same whoever answers, times to the microsecond', async () => {
    const { rows } = await sql`
      SELECT '2026-11-20 08:00:00.123456+00'::timestamptz AS at, 7::int8 AS n, 1.50::numeric AS price,
             '{"a":[1]}'::jsonb AS data, '{a,NULL}'::text[] AS list, true AS yes, NULL AS nothing`.execute(
      open.database.db,
    )
    assert.deepEqual(rows[0], {
      at: '2026-11-20T08:00:00.123456Z',
      n: 7,
      price: '1.50',
      data: { a: [1] },
      list: ['a', null],
      yes: true,
      nothing: null,
    })
  })

  test('the outer database inside a transaction is refused, not waited for', async () => {
    const { database } = open
    await assert.rejects(
      database.transaction(async () => await sql`SELECT 1`.execute(database.db)),
      /outer database was used inside a transaction/,
    )
    await database.ping()
  })

  test('a transaction that throws leaves nothing and poisons nothing', async () => {
    const { database } = open
    await assert.rejects(
      database.transaction(async (tx) => {
        await sql`INSERT INTO users (id) VALUES ('ghost')`.execute(tx)
        await sql`SELECT 1 / 0`.execute(tx)
      }),
    )
    const { rows } = await sql`SELECT id FROM users`.execute(database.db)
    assert.deepEqual(rows, [])
  })
})
