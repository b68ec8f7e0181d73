// Whatever opens the database first makes sure that it has the schema of this release.

import type { Database } from '../database/database.ts'
import { migrate, pendingMigrations } from '../database/migrate.ts'

/**
 * Brings the schema up to date, or throws an Error for the operator when that is to be done by hand.
 * `tell` is given a sentence when something was done.
 */
export async function prepareSchema(
  database: Database,
  migrateOnStart: boolean,
  tell: (text: string) => void,
): Promise<void> {
  if (migrateOnStart) {
    const applied = await migrate(database)
    if (applied.length > 0) tell(`the database schema was brought up to ${applied.at(-1)}`)
    return
  }
  const pending = await pendingMigrations(database)
  if (pending.length > 0) {
    throw new Error(
      `the database schema is not up to date (${pending.join(', ')}): run \`npm run migrate\`, or set MIGRATE_ON_START=true`,
    )
  }
}
