// `vitrine migrate`: brings the database's schema up to date and ends.

import type { LoadedConfig } from '../config/config.ts'
import { migrate, newerText } from '../database/migrate.ts'
import { waitForDatabase } from '../database/wait.ts'
import { createLogger } from '../observability/logger.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'

export const migrateCommand = defineCommand({
  name: 'migrate',
  summary: "bring the database's schema up to date (npm run migrate)",
  options: {},
  run: async ({ signal }) => {
    process.stdout.write(await migrateDatabase(loadSettings(), signal))
    return 0
  },
})

/** Returns what to print. Throws an Error for the operator. */
async function migrateDatabase({ config }: LoadedConfig, signal: AbortSignal): Promise<string> {
  const logOf = await createLogger({ ...config.log, pretty: process.stdout.isTTY })
  await using database = await waitForDatabase(config.database, {
    timeoutMs: config.startTimeoutMs,
    log: logOf('database'),
    signal,
  })
  const { applied, newer } = await migrate(database)
  const warning = newerText(newer)
  if (warning) return `Nothing to apply: ${warning}.\n`
  return applied.length === 0
    ? 'The schema is up to date.\n'
    : applied.map((name) => `applied ${name}\n`).join('')
}
