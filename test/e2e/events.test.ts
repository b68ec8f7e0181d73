// Streams of events from the running service: what its health says of them, and how it stops.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startComposed } from '../support/composed.ts'
import { openStream } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { makeDataFolder, postProduct, startService } from '../support/service.ts'

const run = promisify(execFile)
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('SIGTERM ends open streams at once, and they go on where they were after a restart', async () => {
  await using folder = await makeDataFolder()
  const environment = { DATA_DIR: folder.path }
  let last: string | undefined
  {
    await using service = await startService(environment)
    const { id } = await postProduct(service, [])
    await using all = await openStream(`${service.url}/events`)
    await using one = await openStream(`${service.url}/products/${id}/events`)
    await Promise.all([all.has(1), one.has(1)])
    const { id: second } = await postProduct(service, [])
    last = await eventually(
      () =>
        all.events().find(({ data }) => data.product_id === second)?.id ?? assert.fail('no event'),
    )
    const startedAt = performance.now()
    assert.equal(await service.stop(), 0)
    const ms = performance.now() - startedAt
    assert.ok(ms < 15_000, `stopping took ${ms} ms of the 25,000 of running work`)
    assert.deepEqual(await Promise.all([all.ended, one.ended]), [true, true])
  }
  const headers = { 'last-event-id': last ?? '' }
  {
    await using service = await startService(environment)
    await using again = await openStream(`${service.url}/events`, headers)
    const next = await postProduct(service, [])
    const entries = await again.has(1)
    assert.equal(entries[0]?.data.product_id, next.id)
  }
  await run(process.execPath, [main, 'events', 'restart'], {
    env: { ...process.env, ...environment },
  })
  {
    await using service = await startService(environment)
    await using again = await openStream(`${service.url}/events`, headers)
    assert.equal((await again.has(1))[0]?.event, 'resync')
  }
})

test('health tells how far the streams are behind', async () => {
  await using service = await startComposed()
  const response = await fetch(`${service.url}/health/events`)
  assert.equal(response.status, 200)
  const { status, details } = (await response.json()) as { status: string; details: object }
  assert.equal(status, 'healthy')
  assert.deepEqual(Object.keys(details), ['delay_ms'])
})

test('EVENTS_MAX_STREAMS bounds the open streams', async () => {
  await using service = await startComposed({ EVENTS_MAX_STREAMS: '1' })
  await using one = await openStream(`${service.url}/events`)
  assert.equal(one.status, 200)
  await using another = await openStream(`${service.url}/events`)
  assert.equal(another.status, 503)
})
