// The end of a server's connections when it stops. Answers that are being made are waited for, and sent to
// clients that take them; a client that has stopped sending in the middle of its request, or has not begun
// one, holds up nothing.

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { SocketErrors } from './socket-errors.ts'

const LOOK_EVERY_MS = 50

/** What is on its way gets there: in a second a body of 1 MiB comes by 8 Mbit/s. */
const ARRIVING_MS = 1_000

/** For so long may what is written already be on its way to its clients: 12 MB by 20 Mbit/s. */
const SENDING_MS = 5_000

/**
 * To be called before the server listens. The function that it returns is called once no new connections
 * are wanted, and lets go of those that are there, one by one, until the server is closed.
 */
export function createClosing(server: Server, socketErrors: SocketErrors): () => void {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return () => {
    if (!server.listening) return
    const arrivedBy = performance.now() + ARRIVING_MS
    const sentBy = performance.now() + SENDING_MS
    // To Node a connection is idle whose last answer is written, wherever that is: it would be cut short.
    const closeIdle = server.closeIdleConnections.bind(server)
    const isSending = ({ writableLength }: Socket) => writableLength > 0
    server.closeIdleConnections = () => {
      if (performance.now() >= sentBy || ![...sockets].some(isSending)) closeIdle()
    }
    const timer = setInterval(() => {
      // Node closes those that are idle when its listener closes; ours may still have a last answer to come.
      server.closeIdleConnections()
      if (performance.now() < arrivedBy || [...sockets].some(socketErrors.owesAnswer)) return
      for (const socket of sockets) socketErrors.giveUp(socket)
      // Each once: the last words to a client may still be on their way.
      sockets.clear()
    }, LOOK_EVERY_MS)
    server.once('close', () => clearInterval(timer))
  }
}
