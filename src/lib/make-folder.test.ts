import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeFolder } from './make-folder.ts'

describe('a folder that is to be there', () => {
  let parent: string
  before(async () => {
    parent = await mkdtemp(join(tmpdir(), 'vitrine-make-folder-'))
  })
  after(() => rm(parent, { recursive: true, force: true }))

  test('is made with all that is above it, by several at once', async () => {
    const path = join(parent, 'a', 'b', 'c')
    await Promise.all(Array.from({ length: 20 }, () => makeFolder(path, 0o700)))
    assert.equal((await stat(path)).mode & 0o777, 0o700)
  })

  test('is left as it is when it is there, under a link too', async () => {
    await makeFolder(join(parent, 'real'), 0o755)
    await symlink(join(parent, 'real'), join(parent, 'link'))
    await makeFolder(join(parent, 'link'), 0o700)
    assert.equal((await stat(join(parent, 'real'))).mode & 0o777, 0o755)
  })

  test('is refused where a file is', async () => {
    const file = join(parent, 'file')
    await writeFile(file, '')
    await assert.rejects(makeFolder(file), { code: 'EEXIST' })
    await assert.rejects(makeFolder(join(file, 'below')), { code: 'ENOTDIR' })
  })

  test('is refused where nothing can be made', {
    skip: existsSync('/proc/self') ? false : 'there is no /proc',
  }, async () => {
    await assert.rejects(makeFolder('/proc/vitrine/data'), { code: 'ENOENT' })
  })
})
