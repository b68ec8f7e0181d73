// Applies migrations/ in order, each once: forward only, checksummed, all that are pending in one
// transaction. Any number of processes may start at once: a lock lets them through one by one.

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { Database, RawSession } from './database.ts'
import { sqlState } from './sql-errors.ts'

const FILES = new URL('../../migrations/', import.meta.url)

/** Any number will do that no other program on the same database takes: the letters of `vitrine` in ASCII. */
const LOCK = 0x76697472

export interface MigrateOptions {
  /** The folder with the files, ending in a slash. */
  files?: URL
}

const HISTORY = `CREATE TABLE IF NOT EXISTS vitrine_migrations (
  name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`

interface Migration {
  name: string
  text: string
  checksum: string
}

interface Applied {
  name: string
  checksum: string
}

/**
 * Returns the names of the files that were applied now: all of them or, when it throws, none.
 * Throws an Error for the operator when an applied file was changed or is missing, when the tables
 * of something else are in the way, when a right or an extension is wanting.
 */
export async function migrate(
  database: Database,
  { files = FILES }: MigrateOptions = {},
): Promise<string[]> {
  const migrations = await readMigrations(files)
  return await database.exclusive(async (session) => {
    await session.script('BEGIN') // undone with the session when anything throws
    const applied = await applyPending(session, migrations)
    await session.script('COMMIT')
    return applied
  })
}

/** The names of the files that `migrate` would apply; changes nothing. Throws as it does for changed or missing files. */
export async function pendingMigrations(
  database: Database,
  { files = FILES }: MigrateOptions = {},
): Promise<string[]> {
  const migrations = await readMigrations(files)
  const pending = await database.exclusive(async (session) => {
    const [history] = await session.query<{ exists: boolean }>(
      `SELECT to_regclass('vitrine_migrations') IS NOT NULL AS exists`,
    )
    return pendingOf(migrations, history?.exists ? await selectApplied(session) : [])
  })
  return pending.map(({ name }) => name)
}

async function readMigrations(folder: URL): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort()
  return await Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, folder), 'utf8')
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

async function applyPending(
  session: RawSession,
  migrations: readonly Migration[],
): Promise<string[]> {
  // Neither waiting for another process nor rewriting a large table is bound to a request's time.
  await session.script('SET LOCAL statement_timeout = 0')
  await session.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  await run(session, 'the list of migrations', HISTORY)
  const pending = pendingOf(migrations, await selectApplied(session))
  for (const migration of pending) await apply(session, migration)
  return pending.map(({ name }) => name)
}

async function selectApplied(session: RawSession): Promise<Applied[]> {
  return await session.query('SELECT name, checksum FROM vitrine_migrations ORDER BY name')
}

function pendingOf(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const byName = new Map(migrations.map((migration) => [migration.name, migration]))
  for (const { name, checksum } of applied) {
    const migration = byName.get(name)
    if (!migration)
      throw new Error(
        `migration ${name} was applied but its file is missing: this checkout is older than the database`,
      )
    if (migration.checksum !== checksum)
      throw new Error(
        `migration ${name} was changed after it was applied: restore the file and add a new migration`,
      )
    byName.delete(name)
  }
  return [...byName.values()]
}

async function apply(session: RawSession, { name, text, checksum }: Migration): Promise<void> {
  await run(session, `migration ${name}`, text)
  await session.query('INSERT INTO vitrine_migrations (name, checksum) VALUES ($1, $2)', [
    name,
    checksum,
  ])
}

async function run(session: RawSession, what: string, text: string): Promise<void> {
  try {
    await session.script(text)
  } catch (error) {
    throw explain(what, error)
  }
}

/** By SQLSTATE: what an operator does about it. */
const advice: Readonly<Record<string, string>> = {
  // Undefined file before PostgreSQL 16, feature not supported since.
  '58P01': 'the extension is not installed on the server: install the package postgresql-contrib',
  '0A000': 'the extension is not installed on the server: install the package postgresql-contrib',
  '42501':
    'an administrator must grant the user CREATE on the database and on its schema, or run CREATE EXTENSION pg_trgm there once',
  '42P07':
    'something else has its tables in this database: give Vitrine one of its own, or another schema by search_path',
  '42710':
    'something else has its objects in this database: give Vitrine one of its own, or another schema by search_path',
}

function explain(what: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const hint = advice[sqlState(error) ?? '']
  if (!hint) return error
  return new Error(`${what} cannot be applied: ${error.message}; ${hint}`, {
    cause: error,
  })
}
