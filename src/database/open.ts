// Chooses the adapter. Each is imported only when it is the one.

import type { Database } from './database.ts'
import type { PgliteOptions } from './pglite.ts'
import type { PostgresOptions } from './postgres.ts'

export type DatabaseOptions =
  | ({ engine: 'pglite' } & PgliteOptions)
  | ({ engine: 'postgres' } & PostgresOptions)

/**
 * Throws `unavailable` when another try may succeed, else an Error whose message tells the operator
 * what to correct.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  switch (options.engine) {
    case 'pglite':
      return await (await import('./pglite.ts')).openPglite(options)
    case 'postgres':
      return await (await import('./postgres.ts')).openPostgres(options)
  }
}
