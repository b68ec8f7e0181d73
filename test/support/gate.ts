// A way to a server that can be closed, and that can fall silent: what is sent is neither refused nor
// answered, as behind a firewall that drops packets.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { findFreePort } from '../../src/app/free-port.ts'

export interface Gate extends AsyncDisposable {
  /** On 127.0.0.1, the same as long as the gate lives. */
  readonly port: number
  open(): Promise<void>
  /** Ends all connections, and refuses others. */
  close(): Promise<void>
  /** Nothing gets through in either direction, and new connections are let in to nobody. Until `speak`. */
  silence(): void
  speak(): void
}

/** Leads to a port of 127.0.0.1; closed at first. */
export async function createGate(to: number): Promise<Gate> {
  const port = await findFreePort('127.0.0.1')
  const sockets = new Set<Socket>()
  let isSilent = false
  const listener = createServer((client) => {
    const server = connect(to, '127.0.0.1')
    join(client, server)
    join(server, client)
  })
  const join = (from: Socket, into: Socket) => {
    sockets.add(from)
    from.on('error', () => {})
    from.on('data', (bytes) => into.write(bytes))
    from.on('close', () => {
      sockets.delete(from)
      into.destroy()
    })
    if (isSilent) from.pause()
  }
  const close = async () => {
    if (!listener.listening) return
    const closed = once(listener, 'close')
    listener.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    port,
    open: async () => {
      listener.listen(port, '127.0.0.1')
      await once(listener, 'listening')
    },
    close,
    silence: () => {
      isSilent = true
      for (const socket of sockets) socket.pause()
    },
    speak: () => {
      isSilent = false
      for (const socket of sockets) socket.resume()
    },
    [Symbol.asyncDispose]: close,
  }
}
