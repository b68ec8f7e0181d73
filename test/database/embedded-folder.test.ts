// Nobody but us gets at the embedded database: its engine makes files that everybody may write.

import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDatabase } from '../../src/database/open.ts'
import { copyEmbeddedDatabase } from '../support/database.ts'

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
