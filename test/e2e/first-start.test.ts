// The first start of a whole set, in one moment: on an empty database, one of its processes migrates.

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { sql } from 'kysely'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { makeDataFolder, startService } from '../support/service.ts'

const PROCESSES = 10
const migrations = new URL('../../migrations/', import.meta.url)

describeOnPostgres('ten processes that start at once on an empty database', () => {
  test('migrate it once, and are ready', async () => {
    await using stack = new AsyncDisposableStack()
    const { database, url = '' } = stack.use(await postgresEngine.create())
    await sql.raw('DROP SCHEMA public CASCADE').execute(database.db)
    await sql.raw('CREATE SCHEMA public').execute(database.db)
    const { path: DATA_DIR } = stack.use(await makeDataFolder({ empty: true }))
    const roles = Array.from({ length: PROCESSES }, (_, n) => (n < 2 ? 'worker' : 'api'))
    const services = await Promise.all(
      roles.map(async (ROLE) =>
        stack.use(await startService({ DATABASE_URL: url, DATA_DIR, ROLE })),
      ),
    )
    const told = services.filter(({ output }) => output().includes('schema was brought up to'))
    assert.equal(told.length, 1)
    const { rows } = await sql<{ name: string }>`
      SELECT name FROM vitrine_migrations ORDER BY name`.execute(database.db)
    const files = (await readdir(migrations)).filter((name) => name.endsWith('.sql')).sort()
    assert.deepEqual(
      rows.map(({ name }) => name),
      files,
    )
    assert.deepEqual(
      await Promise.all(services.map((service) => service.stop())),
      services.map(() => 0),
    )
  })
})
