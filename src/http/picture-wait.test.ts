import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import type { Representation, WaitOptions } from '../products/product.ts'
import type { App } from './app.ts'
import { createPictureWait } from './picture-wait.ts'

const made: Representation = { id: 'p', body: '{}', etag: '"1-1-x"', isSettled: false }

/** A server whose only route waits; each wait is handed to the test, and ends with its signal. */
async function serve() {
  const waits: WaitOptions[] = []
  const begun = Promise.withResolvers<WaitOptions>()
  const ended = Promise.withResolvers<void>()
  const app: App = Fastify()
  const waitForPictures = createPictureWait(app, {
    settled: async (_product, options) => {
      waits.push(options)
      begun.resolve(options)
      await once(options.signal, 'abort')
      ended.resolve()
      return made
    },
  })
  app.post('/', async (_request, reply) => (await waitForPictures(made, reply)).body)
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  const request = (prefer: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nPrefer: ${prefer}\r\n\r\n`)
    return socket
  }
  return { app, waits, begun: begun.promise, ended: ended.promise, request }
}

test('a client that does not ask is answered at once', async () => {
  const { app, waits, request } = await serve()
  const [answer] = (await once(request('respond-async'), 'data')) as [Buffer]
  assert.match(String(answer), /^HTTP\/1\.1 200/)
  assert.doesNotMatch(String(answer), /preference-applied/i)
  assert.equal(waits.length, 0)
  await app.close()
})

test('a client that goes away ends its wait', async () => {
  const { app, begun, ended, request } = await serve()
  const socket = request('wait=20')
  const { timeoutMs, signal } = await begun
  assert.equal(timeoutMs, 20_000)
  assert.equal(signal.aborted, false)
  socket.destroy()
  await ended
  await app.close()
})

test('closing the server ends all waits, and they are answered', async () => {
  const { app, begun, request } = await serve()
  const socket = request('wait=20')
  const answered = once(socket, 'data') as Promise<[Buffer]>
  await begun
  const closing = app.close()
  const [answer] = await answered
  assert.match(String(answer), /^HTTP\/1\.1 200[\s\S]*preference-applied: wait=20/i)
  socket.destroy()
  await closing
})
