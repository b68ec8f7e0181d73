// `vitrine migrate`: brings the database's schema up to date and ends. Its log goes to standard error.

import type { LoadedConfig } from '../config/config.ts'
import { type Migrated, migrate, newerText } from '../database/migrate.ts'
import { waitForDatabase } from '../database/wait.ts'
import { createLogger } from '../observability/logger.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'

export const migrateCommand = defineCommand({
  name: 'migrate',
  summary: "bring the database's schema up to date (npm run migrate)",
  options: {
    json: {
      type: 'boolean',
      description: 'print one JSON object: what was applied, what is newer',
    },
  },
  run: async ({ values, signal }) => {
    const migrated = await migrateDatabase(loadSettings(), signal)
    process.stdout.write(values.json ? `${JSON.stringify(migrated)}\n` : sentenceOf(migrated))
    return 0
  },
})

/** Throws an Error for the operator. */
async function migrateDatabase({ config }: LoadedConfig, signal: AbortSignal): Promise<Migrated> {
  const logOf = await createLogger({ ...config.log, pretty: process.stderr.isTTY, descriptor: 2 })
  await using database = await waitForDatabase(config.database, {
    timeoutMs: config.startTimeoutMs,
    log: logOf('database'),
    signal,
  })
  return await migrate(database)
}

function sentenceOf({ applied, newer }: Migrated): string {
  const warning = newerText(newer)
  if (warning) return `Nothing to apply: ${warning}.\n`
  return applied.length === 0
    ? 'The schema is up to date.\n'
    : applied.map((name) => `applied ${name}\n`).join('')
}
