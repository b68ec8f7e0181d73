// The folder of the embedded database: nobody but us gets at it, and what is said when it has no room.

import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDatabase } from '../../src/database/open.ts'
import { copyEmbeddedDatabase } from '../support/database.ts'
import { noSmallDisk, runOnSmallDisk } from '../support/small-disk.ts'

test('the folder is closed to other users, also one that an earlier release left open', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-folder-'))
  try {
    const directory = join(parent, 'db')
    await copyEmbeddedDatabase(directory)
    await chmod(directory, 0o755)
    await using _database = await openDatabase({ engine: 'pglite', directory })
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
})

test('a new folder is closed from the start', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-folder-'))
  try {
    const directory = join(parent, 'db')
    await using database = await openDatabase({ engine: 'pglite', directory })
    await database.ping()
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
})

test('a full disk is called by its name, at a start too, and nothing is lost by it', {
  skip: noSmallDisk(),
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-folder-'))
  try {
    const script = new URL('../support/database-full-disk.ts', import.meta.url)
    const said = JSON.parse(await runOnSmallDisk(script, { directory, mebibytes: 160 }))
    const full = (folder: string) =>
      `the database in ${join(directory, folder)} cannot be opened: its disk is full: make room there, some 100 MiB, and start again; the folder itself need not be damaged`
    assert.deepEqual(said, {
      write:
        'The disk of the database is full: it stores nothing more until somebody makes room there.',
      start: full('db'),
      firstStart: full('new.init'),
      afterwards: 'nothing was refused',
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('a data folder that cannot be made is refused at once', {
  skip: process.platform === 'linux' ? false : 'needs /proc',
}, async () => {
  await assert.rejects(
    openDatabase({ engine: 'pglite', directory: '/proc/vitrine/db' }),
    /^Error: the data folder \/proc\/vitrine cannot be made: ENOENT.*choose another DATA_DIR$/,
  )
})
