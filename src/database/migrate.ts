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

export interface Migrated {
  /** The names of the files that were applied now. */
  applied: string[]
  /** What a later release applied, which this one bears: see `newerText`. */
  newer: string[]
}

export interface SchemaState {
  /** The names of the files that `migrate` would apply. */
  pending: string[]
  /** As in `Migrated`. */
  newer: string[]
}

/**
 * Applies all files that are pending or, when it throws, none. Throws an Error for the operator when an applied file
 * was changed or is missing, when the tables of something else are in the way, when a right or an extension is wanting.
 */
export async function migrate(
  database: Database,
  { files = FILES }: MigrateOptions = {},
): Promise<Migrated> {
  const migrations = await readMigrations(files)
  return await database.exclusive(async (session) => {
    await session.script('BEGIN') // undone with the session when anything throws
    const migrated = await applyPending(session, migrations)
    await session.script('COMMIT')
    return migrated
  })
}

/** What `migrate` would find; changes nothing. Throws as it does for changed or missing files. */
export async function readSchemaState(
  database: Database,
  { files = FILES }: MigrateOptions = {},
): Promise<SchemaState> {
  const migrations = await readMigrations(files)
  const { pending, newer } = await database.exclusive(async (session) => {
    const [history] = await session.query<{ exists: boolean }>(
      `SELECT to_regclass('vitrine_migrations') IS NOT NULL AS exists`,
    )
    return compare(migrations, history?.exists ? await selectApplied(session) : [])
  })
  return { pending: namesOf(pending), newer: namesOf(newer) }
}

/** What to tell of it; undefined when there is nothing newer. */
export function newerText(newer: readonly string[]): string | undefined {
  if (newer.length === 0) return undefined
  return `the database is newer than this release: ${newer.join(', ')} came with a later one`
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
): Promise<Migrated> {
  // Neither waiting for another process nor rewriting a large table is bound to a request's time.
  await session.script('SET LOCAL statement_timeout = 0')
  await session.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  await run(session, 'the list of migrations', HISTORY)
  const { pending, newer } = compare(migrations, await selectApplied(session))
  for (const migration of pending) await apply(session, migration)
  return { applied: namesOf(pending), newer: namesOf(newer) }
}

async function selectApplied(session: RawSession): Promise<Applied[]> {
  return await session.query('SELECT name, checksum FROM vitrine_migrations ORDER BY name')
}

/**
 * A schema bears the release before it, so what was applied after everything that is known here is no mistake: it is
 * the way back from an upgrade, and a process of the old release that starts again during one. A file that is missing
 * before one that is known is a mistake.
 */
function compare(
  migrations: readonly Migration[],
  applied: readonly Applied[],
): { pending: Migration[]; newer: Applied[] } {
  const unapplied = new Map(migrations.map((migration) => [migration.name, migration]))
  const unknown: Applied[] = []
  for (const one of applied) {
    const migration = unapplied.get(one.name)
    if (!migration) unknown.push(one)
    else if (migration.checksum !== one.checksum)
      throw new Error(
        `migration ${one.name} was changed after it was applied: restore the file and add a new migration`,
      )
    unapplied.delete(one.name)
  }
  const pending = [...unapplied.values()]
  const lastKnown = migrations.at(-1)?.name ?? ''
  const missing = unknown.find(({ name }) => name < lastKnown || pending.length > 0)
  if (missing)
    throw new Error(`migration ${missing.name} was applied but its file is missing: restore it`)
  return { pending, newer: unknown }
}

function namesOf(migrations: readonly { name: string }[]): string[] {
  return migrations.map(({ name }) => name)
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
