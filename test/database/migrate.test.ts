// Migrations: from nothing, from many processes at once, and from states that should not be.

import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { sql } from 'kysely'
import pg from 'pg'
import type { Database } from '../../src/database/database.ts'
import { migrate, newerText, readSchemaState } from '../../src/database/migrate.ts'
import { openDatabase } from '../../src/database/open.ts'
import { pgliteEngine } from '../support/database.ts'
import {
  describeWithPostgresServer,
  type PostgresServer,
  startPostgresServer,
} from '../support/postgres-server.ts'

const MIGRATIONS = new URL('../../migrations/', import.meta.url)

let parent: string
before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'vitrine-migrations-'))
})
after(() => rm(parent, { recursive: true, force: true }))

let folders = 0

/** A folder of migrations: the text of each file by its name. */
async function filesOf(texts: Readonly<Record<string, string>>): Promise<URL> {
  const folder = join(parent, String(folders++))
  await mkdir(folder)
  for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text)
  return pathToFileURL(`${folder}/`)
}

async function tablesOf({ db }: Database): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`.execute(db)
  return rows.map(({ name }) => name)
}

const awkward = `
  -- a comment; with a semicolon
  CREATE TABLE notes (text text DEFAULT 'a;
b'); /* and ; another */
  CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$
  BEGIN
    n := 2 * n;
    RETURN n;
  END $$;
  INSERT INTO notes DEFAULT VALUES;`

/** The same on a database that holds nothing, of either engine. */
function describeMigrations(name: string, emptied: () => Promise<Database>): void {
  describe(`migrations (${name})`, () => {
    test('apply in order, once, and whatever their text holds', async () => {
      await using database = await emptied()
      const files = await filesOf({
        '0002_more.sql': 'ALTER TABLE notes ADD n int; UPDATE notes SET n = twice(21)',
        '0001_notes.sql': awkward,
        'README.md': 'not a migration',
      })
      const names = ['0001_notes.sql', '0002_more.sql']
      const state = () => readSchemaState(database, { files })
      assert.deepEqual(await state(), { pending: names, newer: [] })
      assert.deepEqual(await tablesOf(database), [])
      assert.deepEqual(await migrate(database, { files }), { applied: names, newer: [] })
      const { rows } = await sql`SELECT text, n FROM notes`.execute(database.db)
      assert.deepEqual(rows, [{ text: 'a;\nb', n: 42 }])
      assert.deepEqual(await state(), { pending: [], newer: [] })
      assert.deepEqual(await migrate(database, { files }), { applied: [], newer: [] })
    })

    test('leave nothing when one fails', async () => {
      await using database = await emptied()
      const files = await filesOf({
        '0001_notes.sql': awkward,
        '0002_broken.sql': 'CREATE TABLE more (); SELECT 1 / 0; CREATE TABLE most ()',
      })
      await assert.rejects(migrate(database, { files }), { code: '22012' })
      assert.deepEqual(await tablesOf(database), [])
      await database.ping()
    })

    test('say when an applied file was changed or is missing', async () => {
      await using database = await emptied()
      await migrate(database, { files: await filesOf({ '0001_notes.sql': awkward }) })
      const changed = await filesOf({ '0001_notes.sql': `${awkward} ` })
      const missing = await filesOf({ '0002_more.sql': 'SELECT 1' })
      for (const call of [migrate, readSchemaState]) {
        await assert.rejects(call(database, { files: changed }), /0001_notes.sql was changed after/)
        await assert.rejects(call(database, { files: missing }), /0001_notes.sql was applied but/)
      }
    })

    test('bear what a later release applied after all that is known here, and name it', async () => {
      await using database = await emptied()
      const release = { '0001_notes.sql': awkward }
      const next = { '0002_more.sql': 'SELECT 2', '0003_most.sql': 'SELECT 3' }
      await migrate(database, { files: await filesOf({ ...release, ...next }) })
      const files = await filesOf(release)
      const newer = ['0002_more.sql', '0003_most.sql']
      assert.deepEqual(await migrate(database, { files }), { applied: [], newer })
      assert.deepEqual(await readSchemaState(database, { files }), { pending: [], newer })
      assert.match(newerText(newer) ?? '', /newer than this release: 0002_more.sql, 0003_most.sql /)
      const changed = await filesOf({ '0001_notes.sql': `${awkward} ` })
      await assert.rejects(
        migrate(database, { files: changed }),
        /0001_notes.sql was changed after/,
      )
    })

    test('refuse a file of their own beside those of a later release', async () => {
      await using database = await emptied()
      await migrate(database, { files: await filesOf({ '0001_notes.sql': awkward }) })
      await migrate(database, {
        files: await filesOf({ '0001_notes.sql': awkward, '0003_most.sql': 'SELECT 3' }),
      })
      const between = { '0001_notes.sql': awkward, '0002_more.sql': 'CREATE TABLE more ()' }
      const refused = /0003_most.sql was applied but/
      await assert.rejects(migrate(database, { files: await filesOf(between) }), refused)
      assert.deepEqual(await tablesOf(database), ['notes', 'vitrine_migrations'])
    })

    test('say when the tables of something else are in the way, and leave those alone', async () => {
      await using database = await emptied()
      await sql`CREATE TABLE users (id serial)`.execute(database.db)
      await sql`CREATE TABLE schema_migrations (version bigint)`.execute(database.db)
      await assert.rejects(
        migrate(database),
        /0001_catalogue.sql cannot be applied: relation "users" already exists; something else has/,
      )
      assert.deepEqual(await tablesOf(database), ['schema_migrations', 'users'])
    })
  })
}

describeMigrations('pglite', async () => {
  const open = await pgliteEngine.create()
  await sql`DROP SCHEMA public CASCADE`.execute(open.database.db)
  await sql`CREATE SCHEMA public`.execute(open.database.db)
  return { ...open.database, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() } as Database
})

describeWithPostgresServer('migrations on a server', () => {
  let server: PostgresServer
  let administrator: pg.Client
  before(async () => {
    server = await startPostgresServer()
    administrator = new pg.Client(server.url)
    await administrator.connect()
  })
  after(async () => {
    await administrator.end()
    await server[Symbol.asyncDispose]()
  })

  let databases = 0
  const createEmpty = async () => {
    const name = `empty_${databases++}`
    await administrator.query(`CREATE DATABASE ${name}`)
    return name
  }
  const openAs = async (database: string, credentials = {}) => {
    const { hostname: host, port, username: user, password } = new URL(server.url)
    const connection = { host, port: Number(port), user, password, database, ...credentials }
    return await openDatabase({ engine: 'postgres', connection, poolSize: 2 })
  }

  describeMigrations('postgres', async () => await openAs(await createEmpty()))

  test('ten that start at once apply each file once', async () => {
    for (let round = 0; round < 3; round++) {
      const name = await createEmpty()
      const applied = await Promise.all(
        Array.from({ length: 10 }, async () => {
          await using database = await openAs(name)
          return (await migrate(database)).applied
        }),
      )
      const names = (await readdir(MIGRATIONS)).sort()
      assert.deepEqual(applied.flat().sort(), names)
      assert.equal(applied.filter((list) => list.length > 0).length, 1)
      await using database = await openAs(name)
      assert.deepEqual((await readSchemaState(database)).pending, [])
    }
  })

  test('a user without the right to make tables is told what to grant', async () => {
    const name = await createEmpty()
    await administrator.query(`CREATE ROLE plain LOGIN PASSWORD 'plain'`)
    await using database = await openAs(name, { user: 'plain', password: 'plain' })
    await assert.rejects(
      migrate(database),
      /list of migrations cannot be applied: permission denied.*must grant the user CREATE/,
    )
  })

  test('a user without the right to the extension is told what to ask for, and then it goes', async () => {
    const name = await createEmpty()
    await administrator.query(`CREATE ROLE tables LOGIN PASSWORD 'tables'`)
    const inside = new pg.Client({
      connectionString: server.url.replace(/\/postgres$/, `/${name}`),
    })
    await inside.connect()
    await inside.query('GRANT CREATE ON SCHEMA public TO tables')
    await using database = await openAs(name, { user: 'tables', password: 'tables' })
    await assert.rejects(
      migrate(database),
      /permission denied to create extension "pg_trgm"; an administrator must/,
    )
    await inside.query('CREATE EXTENSION pg_trgm')
    await inside.end()
    assert.equal((await migrate(database)).applied.length, (await readdir(MIGRATIONS)).length)
  })

  test('a migration may take longer than a request, and so may the wait for it', async () => {
    const name = await createEmpty()
    const files = await filesOf({ '0001_slow.sql': 'SELECT pg_sleep(3)' })
    const connection = { connectionString: server.url.replace(/\/postgres$/, `/${name}`) }
    const options = {
      engine: 'postgres',
      connection,
      poolSize: 2,
      statementTimeoutMs: 1_000,
    } as const
    await using first = await openDatabase(options)
    await using second = await openDatabase(options)
    const both = await Promise.all([migrate(first, { files }), migrate(second, { files })])
    assert.deepEqual(
      both.flatMap(({ applied }) => applied),
      ['0001_slow.sql'],
    )
  })
})

test('a newer file beside the real ones is what is pending', async () => {
  await using open = await pgliteEngine.create()
  const files = await filesOf({ '9999_next.sql': 'SELECT 1' })
  for (const name of await readdir(MIGRATIONS))
    await copyFile(new URL(name, MIGRATIONS), new URL(name, files))
  assert.deepEqual((await readSchemaState(open.database, { files })).pending, ['9999_next.sql'])
})
