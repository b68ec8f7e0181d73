// The database, for commands that work on the catalogue beside the service. Their result has standard
// output to itself; the log goes to standard error.

import { prepareSchema } from '../app/schema.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { waitForDatabase } from '../database/wait.ts'
import { createLogger } from '../observability/logger.ts'

/** Opens it, with the schema of this release. Throws an Error for the operator. */
export async function openCatalogueDatabase(
  config: Config,
  signal: AbortSignal,
): Promise<Database> {
  const logOf = await createLogger({ ...config.log, pretty: process.stderr.isTTY, descriptor: 2 })
  const log = logOf('database')
  const { migrateOnStart, startTimeoutMs: timeoutMs } = config
  await using starting = new AsyncDisposableStack()
  const database = starting.use(await waitForDatabase(config.database, { timeoutMs, log, signal }))
  await prepareSchema(database, { migrateOnStart, timeoutMs, log, signal })
  starting.move()
  return database
}
