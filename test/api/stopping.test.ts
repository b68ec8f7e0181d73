// The end of a server on the wire: whoever is owed an answer gets it, and nobody else is waited for.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { listen, openApi, post, sample } from '../support/api.ts'
import { eventually } from '../support/eventually.ts'

const body = JSON.stringify({ ...sample, product_images: [] })
const head = `POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`

/** A client that has sent this much of a request, and all that it is answered in the end. */
async function begin(
  port: number,
  sent: string,
): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(sent)
  return { socket, answer: text(socket).catch(() => 'torn off') }
}

test('requests that do not arrive are given up, those that still arrive are answered', async () => {
  await using api = await openApi()
  const port = await listen(api.app)
  const stalled = await begin(port, head + body.slice(0, 10))
  const inHead = await begin(port, head.slice(0, 40))
  const silent = await begin(port, '')
  const slow = await begin(port, head + body.slice(0, 10))
  // Answered after them: they have come.
  await (await fetch(`http://127.0.0.1:${port}/livez`)).text()

  const startedAt = performance.now()
  const closing = api.app.close()
  await sleep(400)
  slow.socket.write(body.slice(10))
  assert.match(await slow.answer, /^HTTP\/1\.1 201 .*connection: close/is)
  await closing
  assert.ok(performance.now() - startedAt < 5_000)
  assert.match(await stalled.answer, /^HTTP\/1\.1 408 /)
  for (const { answer } of [inHead, silent]) assert.match(await answer, /^(HTTP\/1\.1 408 .*)?$/s)
})

test('answers that are being made are waited for, beside a request that does not arrive', async () => {
  await using api = await openApi()
  const port = await listen(api.app)
  const stalled = await begin(port, head + body.slice(0, 10))
  const request = 'GET /products HTTP/1.1\r\nHost: x\r\n\r\n'
  const { promise: asked, resolve: wasAsked } = Promise.withResolvers<void>()
  const startedAt = performance.now()
  // The embedded database has one session: whoever reads waits for the end of this.
  const writing = api.database.database.transaction(async () => {
    await asked
    await sleep(2_500)
  })
  api.app.server.on('request', ({ url }) => url === '/products' && wasAsked())
  const both = await begin(port, request + head + body.slice(0, 10))
  await asked
  await api.app.close()
  await writing
  assert.ok(performance.now() - startedAt >= 2_500)
  assert.match(await both.answer, /^HTTP\/1\.1 200 /)
  assert.match(await stalled.answer, /^HTTP\/1\.1 408 /)
})

test('what follows an answer that was not waited with is no reason to wait', async () => {
  await using api = await openApi()
  const port = await listen(api.app)
  const refused = await begin(port, head.replace('/products', '/nothing') + body.slice(0, 10))
  await once(refused.socket, 'readable')
  const startedAt = performance.now()
  await api.app.close()
  assert.ok(performance.now() - startedAt < 5_000)
  assert.match(await refused.answer, /^HTTP\/1\.1 404 .*\}$/s)
})

test('an answer that is on its way is not cut short, and one that nobody takes is', async () => {
  await using api = await openApi()
  const port = await listen(api.app)
  const product_images = Array.from(
    { length: 20 },
    (_, n) => `https://a.example/${n}${'x'.repeat(2_000)}`,
  )
  for (let n = 0; n < 100; n++) await post(api.app, { ...sample, product_images })
  const sockets: Socket[] = []
  api.app.server.on('connection', (socket) => sockets.push(socket))
  const clients = [1, 2].map(() =>
    connect(port, '127.0.0.1')
      .on('error', () => {})
      .pause(),
  )
  for (const client of clients) client.write('GET /products?limit=100 HTTP/1.1\r\nHost: x\r\n\r\n')
  await eventually(() => {
    assert.equal(sockets.length, 2)
    for (const { writableLength } of sockets) assert.ok(writableLength > 100_000)
  })

  const [taken, left] = clients
  const closing = api.app.close()
  const answer = await text(taken!)
  const [, length] = /content-length: (\d+)/i.exec(answer) ?? []
  assert.equal(Buffer.byteLength(answer.slice(answer.indexOf('\r\n\r\n') + 4)), Number(length))
  const startedAt = performance.now()
  await closing
  assert.ok(performance.now() - startedAt < 10_000)
  left!.destroy()
})
