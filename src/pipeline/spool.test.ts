import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { emptySpool } from './spool.ts'

test('what a killed worker left goes, what another is working on stays', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-spool-'))
  try {
    await writeFile(join(directory, 'left'), 'x')
    await writeFile(join(directory, 'in-work'), 'x')
    const anHourAgo = Date.now() / 1000 - 3_600
    await utimes(join(directory, 'left'), anHourAgo, anHourAgo)
    assert.equal(await emptySpool(directory, 240_000), 1)
    assert.deepEqual(await readdir(directory), ['in-work'])
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a folder that is not there yet has nothing to remove', async () => {
  assert.equal(await emptySpool(join(tmpdir(), 'vitrine-no-such-folder'), 0), 0)
})
