// What many streams, slow readers and a closing server come to.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'
import { openStream, type StreamClient } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'

const STREAMS = 300

async function create(api: TestApi): Promise<string> {
  return (await post(api.app, { ...sample, product_images: [] })).json().id
}

describe('open streams', () => {
  let api: TestApi
  let url: string
  before(async () => {
    api = await openApi({ streams: { maxStreams: STREAMS } })
    url = `http://127.0.0.1:${await listen(api.app)}`
  })
  after(() => api[Symbol.asyncDispose]())

  test(`${STREAMS} hear of an event once each; one more is refused until one has left`, async () => {
    const id = await create(api)
    await using clients = new AsyncDisposableStack()
    const streams: StreamClient[] = []
    const open = async (path: string) => {
      const stream = clients.use(await openStream(`${url}${path}`))
      if (stream.status === 200) streams.push(stream)
      return stream
    }
    for (let n = 0; n < STREAMS; n++) {
      const stream = await open(n % 2 ? '/events' : `/products/${id}/events`)
      await stream.has(1)
    }
    await using refused = await open('/events')
    assert.equal(refused.status, 503)
    assert.ok(Number(refused.headers['retry-after']) >= 1)
    const head = await api.app.inject({ method: 'HEAD', url: '/events' })
    assert.equal(head.statusCode, 503)

    await api.app.inject({ method: 'DELETE', url: `/products/${id}` })
    await eventually(() => {
      for (const { entries } of streams) {
        assert.equal(entries.filter(({ event }) => event === 'product.deleted').length, 1)
      }
    })
    // Half of them have ended with the product, the others leave.
    for (const stream of streams) stream.leave()
    await eventually(async () => {
      const stream = await open('/events')
      assert.equal(stream.status, 200)
    })
  })
})

describe('a reader that does not read', () => {
  test('is cut off, and comes back to where it was', async () => {
    await using api = await openApi({ streams: { stallMs: 3_000, heartbeatMs: 50 } })
    const url = `http://127.0.0.1:${await listen(api.app)}`
    const id = await create(api)
    await using first = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await first.has(1)
    first.leave()
    const count = 4_000
    await sql`
      INSERT INTO events (user_id, product_id, type, data)
      SELECT 'u', ${id}, 'product.updated',
        jsonb_build_object('version', n + 1, 'text', repeat('x', 5000))
      FROM generate_series(1, ${count}::integer) AS n`.execute(api.database.database.db)

    const path = `${url}/products/${id}/events`
    await using slow = await openStream(`${path}?after=${snapshot?.id}`)
    slow.pause()
    const line = await eventually(
      () => api.lines.find(({ msg }) => String(msg).includes('cut off')) ?? assert.fail('not yet'),
      60_000,
    )
    assert.ok(Number(line.waiting) < 4_000_000, `${line.waiting} bytes were waiting`)
    slow.resume()
    assert.equal(await slow.ended, false)

    const got = slow.events()
    assert.ok(got.length < count)
    await using again = await openStream(`${path}?after=${got.at(-1)?.id ?? snapshot?.id}`)
    await eventually(() => assert.equal(got.length + again.events().length, count), 60_000)
    const versions = [...got, ...again.events()].map(({ data }) => data.version)
    assert.deepEqual(
      versions,
      Array.from({ length: count }, (_, n) => n + 2),
    )
  })
})

describe('a server that closes', () => {
  test('ends its streams at once, those of slow readers too, and refuses new ones', async () => {
    await using api = await openApi()
    const sockets: Socket[] = []
    api.app.server.on('connection', (socket) => sockets.push(socket))
    const url = `http://127.0.0.1:${await listen(api.app)}`
    const id = await create(api)
    await using quick = await openStream(`${url}/events`)
    await using one = await openStream(`${url}/products/${id}/events`)
    await quick.has(1)
    const [snapshot] = await one.has(1)
    await sql`
      INSERT INTO events (user_id, product_id, type, data)
      SELECT 'u', ${id}, 'product.updated', jsonb_build_object('version', 2, 'text', repeat('x', 5000))
      FROM generate_series(1, 4000)`.execute(api.database.database.db)
    await using slow = await openStream(`${url}/products/${id}/events?after=${snapshot?.id}`)
    slow.pause()
    await eventually(() => assert.ok(sockets.some(({ writableLength }) => writableLength > 0)))

    const startedAt = performance.now()
    api.health.setStopping()
    await api.app.close()
    const ms = performance.now() - startedAt
    // Far less than the 30 s that a reader may take.
    assert.ok(ms < 10_000, `closing took ${ms} ms`)
    assert.equal(await quick.ended, true)
    slow.resume()
    await slow.ended
  })
})
