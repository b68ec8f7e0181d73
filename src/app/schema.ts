// Whatever opens the database first makes sure that it has the schema of this release.

import type { Database } from '../database/database.ts'
import { migrate, newerText, readSchemaState } from '../database/migrate.ts'
import { openPatiently } from '../lib/open-patiently.ts'
import type { Logger } from '../observability/logger.ts'

export interface SchemaOptions {
  migrateOnStart: boolean
  /** How long to wait for whoever else migrates. */
  timeoutMs: number
  log: Pick<Logger, 'info' | 'warn'>
  signal: AbortSignal
  /** Between two looks. */
  everyMs?: number
}

/**
 * Brings the schema up to date or, where that is done by hand, waits until it is; says what was done, and for what it
 * waits. Throws an Error for the operator when the time is up, and at once for an embedded database, to which nobody
 * else comes meanwhile. Rejects with the signal's reason when aborted.
 */
export async function prepareSchema(database: Database, options: SchemaOptions): Promise<void> {
  const { log } = options
  const newer = options.migrateOnStart
    ? await bringUpToDate(database, log)
    : await waitForSchema(database, options)
  const warning = newerText(newer)
  if (warning) log.warn(warning)
}

async function bringUpToDate(database: Database, log: SchemaOptions['log']): Promise<string[]> {
  const { applied, newer } = await migrate(database)
  if (applied.length > 0) log.info(`the database schema was brought up to ${applied.at(-1)}`)
  return newer
}

class SchemaBehind extends Error {}

async function waitForSchema(
  database: Database,
  { timeoutMs, log, signal, everyMs = 1_000 }: SchemaOptions,
): Promise<string[]> {
  let isTold = false
  return await openPatiently(() => readWhenCurrent(database), {
    timeoutMs: database.engine === 'pglite' ? 0 : timeoutMs,
    everyMs,
    signal,
    mayPass: (error) => error instanceof SchemaBehind,
    onWait: ({ message }, seconds) => {
      if (!isTold) log.warn(`${message}; waiting for it for ${seconds} s`)
      isTold = true
    },
    gaveUp: ({ message }) => new Error(`${message}, or set MIGRATE_ON_START=true`),
  })
}

/** What is newer than this release; throws while anything is pending. */
async function readWhenCurrent(database: Database): Promise<string[]> {
  const { pending, newer } = await readSchemaState(database)
  if (pending.length === 0) return newer
  throw new SchemaBehind(
    `the database schema is not up to date (${pending.join(', ')}): run \`npm run migrate\``,
  )
}
