// The database goes away under the API and comes back: requests are refused with a time to come back,
// the process stays up and recovers by itself.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { migrate } from '../../src/database/migrate.ts'
import { type DatabaseOptions, openDatabase } from '../../src/database/open.ts'
import { openApi, post, sample, type TestApi } from '../support/api.ts'
import type { TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  describeWithPostgresServer,
  type PostgresServer,
  startPostgresServer,
} from '../support/postgres-server.ts'

describeWithPostgresServer('without its database the API', () => {
  let server: PostgresServer
  let api: TestApi
  before(async () => {
    server = await startPostgresServer()
    api = await openApi({ engine: { name: 'postgres', create: () => openOn(server.url) } })
  })
  after(async () => {
    await api[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  test('answers 503 with Retry-After, says so to probes, and recovers by itself', async () => {
    const created = await post(api.app, sample)
    assert.equal(created.statusCode, 201)
    const isFine = async (probe: string) =>
      assert.equal((await api.app.inject(probe)).statusCode, 200)
    await eventually(() => isFine('/readyz'))

    await server.stop('immediate')
    // Another id: what was read before may still be in the cache.
    const url = '/products/0199f3c2-0000-7000-8000-000000000001'
    const requests = [
      () => api.app.inject({ url, headers: { 'x-request-id': 'away' } }),
      () => api.app.inject('/products'),
      () => api.app.inject('/images/0199f3c2-0000-7000-8000-000000000001'),
      () => post(api.app, sample),
    ]
    for (const request of requests) {
      const response = await request()
      assert.equal(response.statusCode, 503, `${response.body}\n${api.logged()}`)
      assert.equal(response.json().code, 'unavailable')
      assert.ok(Number(response.headers['retry-after']) >= 1)
    }
    const line = api.lines.find(
      ({ request_id, level }) => request_id === 'away' && level === 'warn',
    )
    assert.match(String(line?.reason), /ECONNREFUSED|terminat|closed/i)
    await eventually(async () => {
      const ready = await api.app.inject('/readyz')
      const { status, failing } = ready.json()
      assert.deepEqual([ready.statusCode, status, failing], [503, 'not_ready', ['database']])
    })
    const health = await api.app.inject('/health')
    assert.deepEqual([health.statusCode, health.json().status], [503, 'unhealthy'])
    assert.equal((await api.app.inject('/health/database')).statusCode, 503)
    await eventually(() => isFine('/health/storage'))
    await isFine('/livez')
    assert.deepEqual(
      api.lines.filter(({ level }) => level === 'error'),
      [],
    )

    await server.start()
    await eventually(() => isFine('/readyz'))
    assert.equal((await post(api.app, sample)).statusCode, 201)
  })
})

async function openOn(url: string): Promise<TestDatabase> {
  const options: DatabaseOptions = {
    engine: 'postgres',
    connection: { connectionString: url },
    poolSize: 4,
  }
  const database = await openDatabase(options)
  await migrate(database)
  return { options, url, database, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() }
}
