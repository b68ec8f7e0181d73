// A process with an embedded database in the folder named by its first argument. It inserts the
// numbers up to its second argument, says each one that was acknowledged, and then waits to be
// killed, or closes when told to by a third.

import { writeSync } from 'node:fs'
import { sql } from 'kysely'
import { openDatabase } from '../../../src/database/open.ts'

const [directory, last, ending] = process.argv.slice(2)

const database = await openDatabase({ engine: 'pglite', directory })
writeSync(1, 'open\n')
await sql`CREATE TABLE IF NOT EXISTS kept (n serial)`.execute(database.db)
for (let i = 0; i < Number(last); i++) {
  const { rows } = await sql<{ n: number }>`INSERT INTO kept DEFAULT VALUES RETURNING n`.execute(
    database.db,
  )
  writeSync(1, `kept ${rows[0]?.n}\n`)
}
if (ending === 'close') await database[Symbol.asyncDispose]()
else setInterval(() => {}, 1_000)
