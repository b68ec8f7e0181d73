// Databases for tests: a migrated one for each caller, on every engine that is at hand. PGlite always;
// PostgreSQL when TEST_DATABASE_URL names a server on which databases may be created.

import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'node:test'
import pg from 'pg'
import type { Database } from '../../src/database/database.ts'
import { migrate } from '../../src/database/migrate.ts'
import { type DatabaseOptions, openDatabase } from '../../src/database/open.ts'
import { skipUnlessRequired } from './required.ts'

export interface TestDatabase extends AsyncDisposable {
  /** How another session, or another process on PostgreSQL, opens the same data. */
  options: DatabaseOptions
  /** `DATABASE_URL` of it; undefined on PGlite. */
  url: string | undefined
  database: Database
}

export interface TestEngine {
  name: 'pglite' | 'postgres'
  create(): Promise<TestDatabase>
}

const serverUrl = process.env.TEST_DATABASE_URL || undefined

export const pgliteEngine: TestEngine = { name: 'pglite', create: createPglite }
export const postgresEngine: TestEngine = { name: 'postgres', create: createPostgres }

/** Runs a suite on each engine; says which is left out, and fails instead where it is required (CI). */
export function describeOnEachDatabase(name: string, suite: (engine: TestEngine) => void): void {
  describe(`${name} (pglite)`, () => suite(pgliteEngine))
  describeOnPostgres(name, () => suite(postgresEngine))
}

/** For what only several sessions can show: races, NOTIFY, processes. */
export function describeOnPostgres(name: string, suite: () => void): void {
  const missing = serverUrl === undefined ? 'TEST_DATABASE_URL is not set' : undefined
  describe(`${name} (postgres)`, { skip: skipUnlessRequired('postgres', missing) }, suite)
}

async function createPglite(): Promise<TestDatabase> {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-pglite-'))
  const directory = join(parent, 'db')
  await copyEmbeddedDatabase(directory)
  const options: DatabaseOptions = { engine: 'pglite', directory }
  const database = await openDatabase(options)
  return {
    options,
    url: undefined,
    database,
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]()
      await rm(parent, { recursive: true, force: true })
    },
  }
}

/** Puts an empty, migrated database into a folder that is not there yet: a start on it takes no seconds. */
export async function copyEmbeddedDatabase(directory: string): Promise<void> {
  await cp(await pgliteTemplate(), directory, { recursive: true })
}

/** A migrated folder, made once per state of migrations/: initialising takes seconds, copying does not. */
async function pgliteTemplate(): Promise<string> {
  const directory = join(tmpdir(), `vitrine-pglite-template-${await migrationsHash()}`)
  if (await stat(directory).catch(() => undefined)) return directory
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-pglite-making-'))
  const made = join(parent, 'db')
  {
    await using database = await openDatabase({ engine: 'pglite', directory: made })
    await migrate(database)
  }
  // Another test file may have made it meanwhile: theirs is as good.
  await rename(made, directory).catch(() => {})
  await rm(parent, { recursive: true, force: true })
  return directory
}

async function createPostgres(): Promise<TestDatabase> {
  assert.ok(serverUrl, 'TEST_DATABASE_URL is not set')
  const name = `vitrine_test_${randomUUID().replaceAll('-', '')}`
  const template = await postgresTemplate(serverUrl)
  await onServer(serverUrl, (client) =>
    client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`),
  )
  const url = databaseUrl(serverUrl, name)
  const options: DatabaseOptions = {
    engine: 'postgres',
    connection: { connectionString: url },
    poolSize: 16,
  }
  const database = await openDatabase(options)
  return {
    options,
    url,
    database,
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]()
      await onServer(serverUrl, (client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`))
    },
  }
}

async function postgresTemplate(url: string): Promise<string> {
  const name = `vitrine_template_${await migrationsHash()}`
  await onServer(url, async (client) => {
    await client.query(`SELECT pg_advisory_lock(hashtext('vitrine test template'))`)
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])
    if (rowCount) return
    const making = `${name}_making`
    await client.query(`DROP DATABASE IF EXISTS ${making} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${making}`)
    {
      const connection = { connectionString: databaseUrl(url, making) }
      await using database = await openDatabase({ engine: 'postgres', connection, poolSize: 2 })
      await migrate(database)
    }
    await client.query(`ALTER DATABASE ${making} RENAME TO ${name}`)
  })
  return name
}

async function onServer<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function migrationsHash(): Promise<string> {
  const folder = new URL('../../migrations/', import.meta.url)
  const hash = createHash('sha256')
  hash.update(await readFile(new URL('../../src/database/migrate.ts', import.meta.url)))
  for (const name of (await readdir(folder)).sort()) {
    hash.update(name).update(await readFile(new URL(name, folder)))
  }
  return hash.digest('hex').slice(0, 12)
}
