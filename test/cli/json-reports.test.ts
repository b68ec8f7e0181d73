// What commands report to programs: one JSON object, which has standard output to itself.

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeDataFolder } from '../support/service.ts'
import { vitrine } from '../support/vitrine.ts'

const migrations = new URL('../../migrations/', import.meta.url)

test('migrate, storage adopt and events restart say in JSON what they came to', async () => {
  await using data = await makeDataFolder({ empty: true })
  const report = async (...command: string[]) => {
    const env = { DATA_DIR: data.path, LOG_LEVEL: 'trace' }
    const { code, stdout, stderr } = await vitrine([...command, '--json'], { env, cwd: data.path })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^\{.*\}\n$/)
    return JSON.parse(stdout)
  }
  const applied = (await readdir(migrations)).filter((name) => name.endsWith('.sql')).sort()
  assert.deepEqual(await report('migrate'), { applied, newer: [] })
  assert.deepEqual(await report('storage', 'adopt'), {
    place: join(data.path, 'objects'),
    warning: null,
  })
  // A store that this database has marked before is told of as another's: the store cannot tell.
  const { warning } = await report('storage', 'adopt')
  assert.match(warning, /another database keeps its pictures in /)
  const { epoch } = await report('events', 'restart')
  assert.match(epoch, /^[0-9a-f]{8}$/)
})
