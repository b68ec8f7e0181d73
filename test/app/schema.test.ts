// What a start makes of a schema that is not its own: older, newer, and brought up to date meanwhile.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { prepareSchema, type SchemaOptions } from '../../src/app/schema.ts'
import type { Database } from '../../src/database/database.ts'
import { describeOnEachDatabase, describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

/** As a start has it, on a database of the tests; and the lines that it logs. */
function starting(changes: Partial<SchemaOptions> = {}) {
  const lines: string[] = []
  const tell = (text: unknown) => void lines.push(String(text))
  const options: SchemaOptions = {
    migrateOnStart: false,
    timeoutMs: 60_000,
    everyMs: 20,
    log: { info: tell, warn: tell } as never,
    signal: new AbortController().signal,
    ...changes,
  }
  return { lines, prepare: (database: Database) => prepareSchema(database, options) }
}

/** Makes its last migration one that is yet to come; returns how to undo that. */
async function setBack({ db }: Database): Promise<() => Promise<unknown>> {
  const { rows } = await sql<{ name: string; checksum: string }>`
    DELETE FROM vitrine_migrations WHERE name = (SELECT max(name) FROM vitrine_migrations)
    RETURNING name, checksum`.execute(db)
  const [last] = rows
  assert.ok(last)
  return () =>
    sql`INSERT INTO vitrine_migrations (name, checksum) VALUES (${last.name}, ${last.checksum})`.execute(
      db,
    )
}

describeOnEachDatabase('a start on the schema of a later release', (engine) => {
  test('goes on, and says so in one line', async () => {
    await using open = await engine.create()
    const { db } = open.database
    await sql`INSERT INTO vitrine_migrations (name, checksum) VALUES ('9999_next.sql', '')`.execute(
      db,
    )
    for (const migrateOnStart of [true, false]) {
      const { lines, prepare } = starting({ migrateOnStart })
      await prepare(open.database)
      assert.deepEqual(lines, [
        'the database is newer than this release: 9999_next.sql came with a later one',
      ])
    }
  })
})

describeOnPostgres('a start before the migration that others do', () => {
  test('waits for it, and says so in one line', async () => {
    await using open = await postgresEngine.create()
    const catchUp = await setBack(open.database)
    let looks = 0
    const database: Database = {
      ...open.database,
      exclusive: (work) => {
        looks++
        return open.database.exclusive(work)
      },
    }
    const { lines, prepare } = starting()
    const prepared = prepare(database)
    await eventually(() => assert.ok(looks >= 3))
    await catchUp()
    await prepared
    assert.equal(lines.length, 1)
    assert.match(lines[0]!, /^the database schema is not up to date \(\d+_\w+\.sql\): run `npm run/)
  })

  test('gives up in time, and says what to do', async () => {
    await using open = await postgresEngine.create()
    await setBack(open.database)
    const { prepare } = starting({ timeoutMs: 100 })
    await assert.rejects(prepare(open.database), /run `npm run migrate`, or set MIGRATE_ON_START/)
  })

  test('is ended by a stop', async () => {
    await using open = await postgresEngine.create()
    await setBack(open.database)
    const stopping = new AbortController()
    const { lines, prepare } = starting({ signal: stopping.signal })
    const prepared = prepare(open.database)
    const ended = assert.rejects(prepared, { message: 'stopped' })
    await eventually(() => assert.equal(lines.length, 1))
    stopping.abort(new Error('stopped'))
    await ended
  })
})
