// Fills the disk under the folder it is given, and prints what an embedded database in there says: to a
// write, to its next start, and to its first start.

import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'

const directory = process.argv[2] ?? ''
const filler = join(directory, 'filler')

const open = (folder: string) =>
  openDatabase({ engine: 'pglite', directory: join(directory, folder) })
const messageOf = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing was refused',
    (error: Error) => error.message,
  )
/** All but so many bytes. */
const fill = async (leaving: number) => {
  const { bavail, bsize } = await statfs(directory)
  await writeFile(filler, Buffer.alloc(bavail * bsize - leaving))
}
const write = ({ db }: Database) =>
  sql`CREATE TABLE much AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)`.execute(db)

const said: Record<string, string> = {}
{
  await using database = await open('db')
  await fill(1_000_000)
  said.write = await messageOf(write(database))
}
await rm(filler)
await fill(0)
said.start = await messageOf(open('db'))
await rm(filler)
await fill(5_000_000)
said.firstStart = await messageOf(open('new'))
await rm(filler)
{
  await using database = await open('db')
  said.afterwards = await messageOf(write(database))
}
console.log(JSON.stringify(said))
// An engine that could not start leaves something behind that keeps its process.
process.exit()
