// Clients that take their time hold a connection, and nothing for ever.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setInterval as every } from 'node:timers/promises'
import { listen, openApi, post, sample, type TestApi } from '../support/api.ts'

const IDLE_MS = 1_000
const REQUEST_MS = 600
const KEEP_ALIVE_MS = 500

let api: TestApi
let port: number
before(async () => {
  api = await openApi({
    timeouts: {
      headersMs: 300,
      requestMs: REQUEST_MS,
      idleMs: IDLE_MS,
      keepAliveMs: KEEP_ALIVE_MS,
      checkMs: 50,
    },
  })
  port = await listen(api.app)
})
after(() => api[Symbol.asyncDispose]())

/** A connection, and what came down it until the server closed it. */
async function open(): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  const received: Buffer[] = []
  socket.on('data', (bytes) => received.push(bytes))
  socket.on('error', () => {})
  // Not by `once`: a write after the server has closed is an error that it would throw.
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const answer = closed.then(() => Buffer.concat(received).toString())
  await once(socket, 'connect')
  return { socket, answer }
}

/** Writes a byte now and then until the connection is closed; resolves to the seconds it took. */
async function drip(socket: Socket, bytes: string): Promise<number> {
  const started = performance.now()
  let at = 0
  for await (const _ of every(20)) {
    if (socket.destroyed || socket.readableEnded) break
    socket.write(bytes[at++ % bytes.length] ?? '')
  }
  return performance.now() - started
}

test('headers that come byte by byte are refused when their time is up', async () => {
  const { socket, answer } = await open()
  socket.write('GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  const [ms, text] = await Promise.all([drip(socket, 'x'), answer])
  assert.match(text, /^HTTP\/1\.1 408 [\s\S]*did not arrive in time/)
  assert.ok(ms < 5_000, `${ms}`)
})

test('a body that comes byte by byte is refused when its time is up', async () => {
  const { socket, answer } = await open()
  const head = 'POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json'
  socket.write(`${head}\r\nContent-Length: 100000\r\n\r\n{"a":"`)
  const [ms, text] = await Promise.all([drip(socket, 'x'), answer])
  assert.match(text, /^HTTP\/1\.1 408 /)
  assert.ok(ms >= REQUEST_MS && ms < 5_000, `${ms}`)
})

test('a body in tiny chunks is refused when its time is up', async () => {
  const { socket, answer } = await open()
  const head = 'POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json'
  socket.write(`${head}\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const [, text] = await Promise.all([drip(socket, '1\r\nx\r\n'), answer])
  assert.match(text, /^HTTP\/1\.1 408 /)
})

test('a connection on which nothing is ever sent is closed', async () => {
  const { answer } = await open()
  assert.match(await answer, /^$|^HTTP\/1\.1 408 /)
})

test('a connection that was used and is idle is closed', async () => {
  const { socket, answer } = await open()
  socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  const started = performance.now()
  assert.match(await answer, /^HTTP\/1\.1 200 /)
  assert.ok(performance.now() - started < 10 * KEEP_ALIVE_MS)
})

test('a client that does not read its answer is given up', async () => {
  for (let at = 0; at < 20; at++) {
    await post(api.app, { ...sample, product_description: 'x'.repeat(10_000) })
  }
  const { socket, answer } = await open()
  const { promise: accepted, resolve } = Promise.withResolvers<Socket>()
  api.app.server.once('request', ({ socket: served }) => resolve(served))
  socket.pause()
  // Far more than the buffers of two sockets hold.
  socket.write('GET /products?limit=20 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200))
  const served = await accepted
  if (!served.destroyed) await once(served, 'close')
  assert.ok(served.bytesWritten < 20 * 10_000 * 200)
  socket.destroy()
  await answer
})

test('after all of that nothing is left open, and the next one is answered', async () => {
  const connections = await new Promise<number>((resolve, reject) =>
    api.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )
  assert.equal(connections, 0)
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200)
})
