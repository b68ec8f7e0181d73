// A way to PostgreSQL that lets in whoever logs in and, when told to, passes no statement on: as PgBouncer
// does while all its sessions with the server are lent.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Pooler extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number
  /** Statements wait from now on, until `resume`. */
  pause(): void
  resume(): void
}

/** ReadyForQuery, outside a transaction: the end of a log-in. */
const READY = Buffer.from('Z\0\0\0\x05I')

/** Leads to a server on a port of 127.0.0.1. */
export async function startPooler(to: number): Promise<Pooler> {
  const sockets = new Set<Socket>()
  const waiting: (() => void)[] = []
  let isPaused = false
  const listener = createServer((client) => {
    const server = connect(to, '127.0.0.1')
    let isLetIn = false
    server.on('data', (bytes) => {
      isLetIn ||= bytes.subarray(-READY.length).equals(READY)
      client.write(bytes)
    })
    client.on('data', (bytes) => {
      if (isPaused && isLetIn) waiting.push(() => server.write(bytes))
      else server.write(bytes)
    })
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    port: (listener.address() as AddressInfo).port,
    pause: () => {
      isPaused = true
    },
    resume: () => {
      isPaused = false
      for (const pass of waiting.splice(0)) pass()
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(listener, 'close')
      listener.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
