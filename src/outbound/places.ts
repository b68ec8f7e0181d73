// So many requests at a time to each origin, over connections that are kept for the next ones.

import type { Client } from 'undici'
import type { Wait } from '../lib/allowance.ts'
import { createSlots, type Slot, type Slots } from '../lib/slots.ts'
import { type Connection, createConnection, type OutboundRequest } from './connection.ts'
import type { Answer } from './exchange.ts'

export interface Place {
  /**
   * Sends a request, and once more over a new connection when a kept one dies before it has answered: its
   * other end closed it just as we wrote.
   */
  request(request: OutboundRequest): Promise<Answer>
  /** Gives the place to the next one; may be called again. The connection is kept if its last answer has come to its end. */
  leave(options: { isClean: boolean }): void
}

export interface Places extends AsyncDisposable {
  /** In the order of asking; rejects with the signal's reason. */
  take(origin: string, turn: { signal: AbortSignal; wait: Wait }): Promise<Place>
}

interface Site {
  slots: Slots
  /** Who has a place, or waits for one. */
  guests: number
  idle: Connection[]
}

const DEAD = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

export function createPlaces(perOrigin: number, options: Client.Options): Places {
  const sites = new Map<string, Site>()
  const connections = new Set<Connection>()

  const forgetIfEmpty = (origin: string, { guests, idle }: Site) => {
    if (guests === 0 && idle.length === 0) sites.delete(origin)
  }
  const connect = (origin: string, site: Site): Connection => {
    const connection = createConnection(origin, {
      ...options,
      onClosed: (closed) => {
        const at = site.idle.indexOf(closed)
        if (at < 0) return
        site.idle.splice(at, 1)
        close(closed)
        forgetIfEmpty(origin, site)
      },
    })
    connections.add(connection)
    return connection
  }
  const close = (connection: Connection) => {
    connections.delete(connection)
    void connection.close()
  }
  const enter = (origin: string, site: Site, slot: Slot): Place => {
    let connection = site.idle.pop() ?? connect(origin, site)
    let isInside = true
    return {
      request: async (request) => {
        try {
          return await connection.request(request)
        } catch (error) {
          if (!connection.isUsed || !hasDied(error)) throw error
        }
        close(connection)
        connection = connect(origin, site)
        return await connection.request(request)
      },
      leave: ({ isClean }) => {
        if (!isInside) return
        isInside = false
        if (isClean && connection.isOpen) site.idle.push(connection)
        else close(connection)
        site.guests--
        slot.release()
        forgetIfEmpty(origin, site)
      },
    }
  }
  return {
    take: async (origin, { signal, wait }) => {
      const site = sites.get(origin) ?? { slots: createSlots(perOrigin), guests: 0, idle: [] }
      sites.set(origin, site)
      site.guests++
      const turn = site.slots.take(signal)
      const slot = site.guests > perOrigin ? await wait(turn) : await turn
      if (slot) return enter(origin, site, slot)
      site.guests--
      forgetIfEmpty(origin, site)
      throw signal.reason
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...connections].map((connection) => connection.close()))
    },
  }
}

function hasDied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && DEAD.has(String(error.code))
}
