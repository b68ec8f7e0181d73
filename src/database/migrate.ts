// Applies migrations/ in order, each once: forward only, checksummed, one transaction a file.
// Any number of processes may start at once: the lock on the history table lets one through.

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { CompiledQuery, sql } from 'kysely'
import type { Database, Tx } from './database.ts'

const FILES = new URL('../../migrations/', import.meta.url)

interface Migration {
  name: string
  text: string
  checksum: string
}

/** Returns the names of the files that were applied now. Throws when an applied file was changed or is missing. */
export async function migrate(database: Database): Promise<string[]> {
  const files = await readMigrations()
  await createHistory(database)
  return await database.transaction(async (tx) => {
    await sql`LOCK TABLE schema_migrations IN EXCLUSIVE MODE`.execute(tx)
    const applied = await sql<{ name: string; checksum: string }>`
      SELECT name, checksum FROM schema_migrations ORDER BY name`.execute(tx)
    const pending = pendingMigrations(files, applied.rows)
    for (const file of pending) await apply(tx, file)
    return pending.map((file) => file.name)
  })
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FILES)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort()
  return await Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, FILES), 'utf8')
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

/** `CREATE TABLE IF NOT EXISTS` is not safe against itself; who loses that race finds the table there. */
async function createHistory(database: Database): Promise<void> {
  const create = sql`CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`
  try {
    await create.execute(database.db)
  } catch {
    await create.execute(database.db)
  }
}

function pendingMigrations(
  files: readonly Migration[],
  applied: readonly { name: string; checksum: string }[],
): Migration[] {
  const byName = new Map(files.map((file) => [file.name, file]))
  for (const { name, checksum } of applied) {
    const file = byName.get(name)
    if (!file)
      throw new Error(
        `migration ${name} was applied but its file is missing: this checkout is older than the database`,
      )
    if (file.checksum !== checksum)
      throw new Error(
        `migration ${name} was changed after it was applied: restore the file and add a new migration`,
      )
  }
  const done = new Set(applied.map(({ name }) => name))
  return files.filter((file) => !done.has(file.name))
}

async function apply(tx: Tx, file: Migration): Promise<void> {
  for (const statement of splitStatements(file.text))
    await tx.executeQuery(CompiledQuery.raw(statement))
  await sql`INSERT INTO schema_migrations (name, checksum) VALUES (${file.name}, ${file.checksum})`.execute(
    tx,
  )
}

/** Migrations keep to statements that end in `;` at the end of a line; comments are dropped first. */
export function splitStatements(text: string): string[] {
  return text
    .replace(/^\s*--.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
