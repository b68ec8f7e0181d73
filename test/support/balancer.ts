// Asks a set of nodes as a load balancer in front of them does: those whose health is good, over kept
// connections, the next one when a connection is refused.

import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  // biome-ignore lint/suspicious/noExplicitAny: whatever was answered
  body: any
}

export interface Balancer extends AsyncDisposable {
  /** Rejects when no node answers, or one breaks off. */
  send(method: string, path: string, body?: object, headers?: object): Promise<Answer>
}

const PROBE_EVERY_MS = 100
const TRIES = 5

export function openBalancer(nodes: readonly string[]): Balancer {
  const agent = new Agent({ keepAlive: true })
  const stopping = new AbortController()
  const isUp = new Map<string, boolean>()
  const probe = async (node: string) => {
    while (!stopping.signal.aborted) {
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(1_000)])
      const health = await fetch(`${node}/health`, { signal }).catch(() => undefined)
      isUp.set(node, health?.status === 200)
      await sleep(PROBE_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const probing = Promise.all(nodes.map(probe))
  let turn = 0
  const pick = () => {
    const up = nodes.filter((node) => isUp.get(node) !== false)
    const candidates = up.length > 0 ? up : nodes
    return candidates[turn++ % candidates.length] ?? ''
  }
  const exchange = (url: string, method: string, body?: object, headers: object = {}) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const type = body ? { 'content-type': 'application/json' } : {}
    const asked = request(url, { method, agent, headers: { ...type, ...headers } })
    asked.on('error', (error: NodeJS.ErrnoException) => {
      const { code = '' } = error
      // Of a kept connection that was closed while it was idle. What comes twice by that does no harm:
      // creations carry their key.
      const isStale = asked.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(code)
      reject(Object.assign(error, { mayRepeat: code === 'ECONNREFUSED' || isStale }))
    })
    asked.on('response', (response) => {
      const { statusCode: status = 0, headers } = response
      json(response).then((answered) => resolve({ status, headers, body: answered }), reject)
    })
    asked.end(body && JSON.stringify(body))
    return promise
  }
  return {
    send: async (method, path, body, headers) => {
      for (let tries = 1; ; tries++) {
        try {
          return await exchange(pick() + path, method, body, headers)
        } catch (error) {
          const { mayRepeat = false } = error as { mayRepeat?: boolean }
          if (!mayRepeat || tries === TRIES) throw error
        }
      }
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      agent.destroy()
      await probing
    },
  }
}
