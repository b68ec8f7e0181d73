// The event log as server-sent events: where a stream begins, how it goes on, and what bounds it.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import { beginEpoch } from '../../src/events/epoch.ts'
import { purgeEvents } from '../../src/events/purge.ts'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'
import { appendEvent } from '../support/append-event.ts'
import { openStream } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'

let api: TestApi
let url: string
before(async () => {
  api = await openApi({ streams: { heartbeatMs: 200 } })
  url = `http://127.0.0.1:${await listen(api.app)}/api/v1`
})
after(() => api[Symbol.asyncDispose]())

async function create(changes: object = {}): Promise<string> {
  const response = await post(api.app, { ...sample, product_images: [], ...changes })
  assert.equal(response.statusCode, 201)
  return response.json().id
}

async function rename(id: string, product_name: string) {
  const response = await api.app.inject({
    method: 'PATCH',
    url: `/products/${id}`,
    headers: { 'content-type': 'application/merge-patch+json' },
    payload: JSON.stringify({ product_name }),
  })
  assert.equal(response.statusCode, 200)
}

const remove = (id: string) => api.app.inject({ method: 'DELETE', url: `/products/${id}` })

describe('one product’s stream', () => {
  test('begins with the product as it is and goes on with what happens to it', async () => {
    const id = await create({ product_images: ['https://example.com/a.jpg'] })
    await using stream = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await stream.has(1)
    assert.equal(stream.status, 200)
    assert.equal(snapshot?.event, 'snapshot')
    assert.equal(snapshot.id, snapshot.data.position)
    assert.deepEqual(snapshot.data.product, (await api.app.inject(`/products/${id}`)).json())

    await create()
    await rename(id, 'Renamed')
    const [, event] = await stream.has(2)
    assert.equal(event?.event, 'product.updated')
    assert.deepEqual(event.data, {
      id: event.id,
      type: 'product.updated',
      at: event.data.at,
      user_id: sample.user_id,
      product_id: id,
      image_id: null,
      version: snapshot.data.product.version + 1,
      details: {},
    })
  })

  test('goes on after the last event that the client has, without the snapshot', async () => {
    const id = await create()
    await using first = await openStream(`${url}/products/${id}/events`)
    for (const name of ['a', 'b', 'c']) await rename(id, name)
    const [, ...seen] = await first.has(4)
    for (let at = 0; at < seen.length; at++) {
      const last = seen[at]?.id ?? ''
      await using byHeader = await openStream(`${url}/products/${id}/events`, {
        'last-event-id': last,
      })
      await using byQuery = await openStream(`${url}/products/${id}/events?after=${last}`)
      await rename(id, `d${at}`)
      const expected = seen.slice(at + 1).length + at + 1
      for (const stream of [byHeader, byQuery]) {
        const entries = await stream.has(expected)
        assert.deepEqual(entries.slice(0, 2 - at), seen.slice(at + 1))
        assert.equal(entries.length, expected)
      }
    }
  })

  test('comes back to its snapshot’s position when it knows no event yet', async () => {
    const id = await create()
    await using first = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await first.has(1)
    first.leave()
    await rename(id, 'Meanwhile')
    const headers = { 'last-event-id': snapshot?.id ?? '' }
    await using second = await openStream(`${url}/products/${id}/events`, headers)
    const [event] = await second.has(1)
    assert.equal(event?.event, 'product.updated')
  })

  test('ends with the product, and what was missed of that can still be had', async () => {
    const id = await create()
    await using stream = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await stream.has(1)
    await remove(id)
    const [, last] = await stream.has(2)
    assert.equal(last?.event, 'product.deleted')
    assert.equal(await stream.ended, true)

    await using late = await openStream(`${url}/products/${id}/events?after=${snapshot?.id}`)
    assert.deepEqual(await late.has(1), [last])
    assert.equal(await late.ended, true)
    await using over = await openStream(`${url}/products/${id}/events?after=${last.id}`)
    assert.equal(over.status, 404)
    await using fresh = await openStream(`${url}/products/${id}/events`)
    assert.equal(fresh.status, 404)
  })

  test('is not there for what names no product', async () => {
    for (const id of ['nothing', '0199f3c2-0000-7000-8000-000000000001', '%00']) {
      for (const query of ['', '?after=00000000-1']) {
        const response = await api.app.inject(`/products/${id}/events${query}`)
        assert.equal(response.statusCode, 404, id)
        assert.equal(response.json().code, 'not_found')
      }
    }
  })
})

describe('everybody’s stream', () => {
  test('begins at the present and tells of every product, in the order of the log', async () => {
    await create()
    await using stream = await openStream(`${url}/events`)
    const [snapshot] = await stream.has(1)
    assert.deepEqual(snapshot?.data, { position: snapshot?.id })
    const ids = [await create(), await create()]
    // It may begin a moment earlier than asked for: at what was decided by then.
    await eventually(() => {
      const told = stream.events().map(({ data }) => data.product_id)
      assert.deepEqual(told.slice(-2), ids)
    })
    const places = stream.entries.map(({ id }) => Number(id?.split('-')[1]))
    assert.deepEqual(
      places,
      [...new Set(places)].sort((a, b) => a - b),
    )
  })

  test('can be one user’s', async () => {
    await using stream = await openStream(`${url}/events?user_id=somebody`)
    await stream.has(1)
    await create()
    const mine = await create({ user_id: 'somebody' })
    const [snapshot, event] = await stream.has(2)
    assert.equal(event?.data.product_id, mine)
    await using again = await openStream(`${url}/events?user_id=somebody`, {
      'last-event-id': snapshot?.id ?? '',
    })
    assert.deepEqual(await again.has(1), [event])
  })

  test('the header goes before the address, which a browser sends again', async () => {
    await using first = await openStream(`${url}/events`)
    const [snapshot] = await first.has(1)
    await create()
    await create()
    const [, one, two] = await first.has(3)
    await using second = await openStream(`${url}/events?after=${snapshot?.id}`, {
      'last-event-id': one?.id ?? '',
    })
    assert.deepEqual(await second.has(1), [two])
  })

  test('a position that is none is a mistake in the address, and a new start in the header', async () => {
    for (const after of [
      '1',
      'x-1',
      '00000000-',
      '00000000-1,00000000-2',
      `00000000-${'9'.repeat(20)}`,
    ]) {
      const response = await api.app.inject(`/events?after=${after}`)
      assert.equal(response.statusCode, 400)
      assert.equal(response.json().errors[0].pointer, '/after')
      await using stream = await openStream(`${url}/events`, { 'last-event-id': after })
      const entries = await stream.has(2)
      assert.deepEqual(
        entries.map(({ event, id }) => [event, id !== undefined]),
        [
          ['resync', false],
          ['snapshot', true],
        ],
      )
    }
  })
})

describe('a client that the log does not reach', () => {
  test('hears resync and starts again: another epoch, an id to come, events that were removed', async () => {
    const id = await create()
    await using first = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await first.has(1)
    const [epoch, at] = String(snapshot?.id).split('-')
    const { db } = api.database.database
    await rename(id, 'Renamed')
    await sql`UPDATE events SET at = now() - interval '8 days'`.execute(db)
    await purgeEvents(db, 7 * 24 * 60 * 60_000, new AbortController().signal)
    for (const path of [`/products/${id}/events`, '/events']) {
      for (const place of [`00000000-${at}`, `${epoch}-${Number(at) + 1_000}`, snapshot?.id]) {
        await using stream = await openStream(`${url}${path}?after=${place}`)
        const [resync, fresh] = await stream.has(2)
        assert.deepEqual([resync?.event, resync?.id], ['resync', undefined])
        assert.equal(fresh?.event, 'snapshot')
      }
    }
    await using after = await openStream(`${url}/products/${id}/events`)
    const [fresh] = await after.has(1)
    await using again = await openStream(`${url}/products/${id}/events?after=${fresh?.id}`)
    await rename(id, 'Once more')
    const [event] = await again.has(1)
    assert.equal(event?.event, 'product.updated', 'the position of a snapshot is always in the log')
  })

  test('that was resumed long ago gets the product as it is now, not as it was then', async () => {
    const id = await create()
    await using first = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await first.has(1)
    await using resumed = await openStream(`${url}/products/${id}/events?after=${snapshot?.id}`)
    await rename(id, 'Renamed since')
    await resumed.has(1)
    await beginEpoch(api.database.database.db)
    const [, resync, fresh] = await resumed.has(3)
    assert.deepEqual([resync?.event, fresh?.event], ['resync', 'snapshot'])
    assert.equal(fresh?.data.product.product_name, 'Renamed since')
    assert.notEqual(fresh?.id?.split('-')[0], snapshot?.id?.split('-')[0])
  })
})

describe('on the wire', () => {
  test('nobody keeps, compresses or holds back a stream, and a conditional request is none', async () => {
    await using stream = await openStream(`${url}/events`, {
      'accept-encoding': 'gzip, br',
      'if-none-match': '*',
    })
    assert.equal(stream.status, 200)
    const { headers } = stream
    assert.equal(headers['content-type'], 'text/event-stream')
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(headers['x-accel-buffering'], 'no')
    assert.equal(headers['content-encoding'], undefined)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.ok(headers['x-request-id'])
  })

  test('HEAD answers without a stream', async () => {
    const id = await create()
    for (const path of ['/events', `/products/${id}/events`]) {
      const response = await fetch(`${url}${path}`, { method: 'HEAD' })
      assert.equal(response.status, 200)
      assert.equal(response.headers.get('content-type'), 'text/event-stream')
      assert.equal(response.headers.get('cache-control'), 'no-store')
      assert.equal(response.headers.get('content-length'), null)
      assert.ok(response.headers.get('x-request-id'))
    }
  })

  test('HEAD refuses what GET refuses, and knows what was missed of a product that is gone', async () => {
    const id = await create()
    await using stream = await openStream(`${url}/products/${id}/events`)
    const [snapshot] = await stream.has(1)
    await remove(id)
    await stream.ended
    const headers = { 'last-event-id': snapshot?.id ?? '' }
    for (const [path, status, sent] of [
      ['/events?after=zzz', 400, {}],
      [`/events?user_id=${'u'.repeat(129)}`, 400, {}],
      [`/products/${id}/events?after=zzz`, 400, {}],
      ['/products/nothing/events', 404, {}],
      [`/products/${id}/events`, 404, {}],
      [`/products/${id}/events`, 200, headers],
      [`/products/${id}/events?after=${snapshot?.id}`, 200, {}],
    ] as const) {
      const [get, head] = await Promise.all(
        ['GET', 'HEAD'].map((method) => fetch(`${url}${path}`, { method, headers: sent })),
      )
      await get?.body?.cancel()
      assert.deepEqual([get?.status, head?.status], [status, status], path)
      assert.equal(head?.headers.get('content-type'), get?.headers.get('content-type'))
      assert.equal(head?.headers.get('content-length'), get?.headers.get('content-length'))
    }
  })

  test('comments keep it alive, and carry no id', async () => {
    await using stream = await openStream(`${url}/events`)
    await eventually(() => assert.match(stream.text(), /\n\n:\n\n:\n\n/))
  })

  test('no content can begin a line of its own', async () => {
    const hostile = 'a\n\nid: 00000000-1\nevent: evil\ndata: {}\r\n\r\u2028\u2029\u0085b'
    const id = await create({
      product_name: hostile,
      user_id: hostile,
      product_description: hostile,
    })
    await using all = await openStream(`${url}/events?user_id=${encodeURIComponent(hostile)}`)
    await using one = await openStream(`${url}/products/${id}/events`)
    await all.has(1)
    const [snapshot] = await one.has(1)
    assert.equal(snapshot?.data.product.product_name, hostile)
    await api.database.database.transaction((tx) =>
      appendEvent(tx, {
        userId: hostile,
        productId: id,
        imageId: null,
        type: 'product.updated',
        data: { version: 9, [hostile]: hostile },
      }),
    )
    api.database.database.signals.send('events')
    for (const stream of [one, all]) {
      const { data } = await eventually(
        () => stream.events().find(({ data }) => data.version === 9) ?? assert.fail('not yet'),
      )
      assert.deepEqual(data.details, { [hostile]: hostile })
      assert.ok(stream.entries.every(({ event }) => event !== 'evil'))
    }
  })

  test('its line in the log comes at its end and counts its bytes', async () => {
    await using stream = await openStream(`${url}/events`)
    await stream.has(1)
    const requestId = stream.headers['x-request-id']
    const line = () => api.lines.find((one) => one.request_id === requestId)
    assert.equal(line(), undefined)
    const received = Buffer.byteLength(stream.text())
    stream.leave()
    const logged = await eventually(() => line() ?? assert.fail('no line yet'))
    assert.equal(logged.aborted, true)
    assert.equal(logged.route, '/events')
    assert.ok(Number(logged.bytes) >= received)
  })
})
