// Asks a set of nodes as a load balancer in front of them does: by turns those whose health is good, over
// kept connections. It repeats nothing: what fails at a node fails.

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
  /** Rejects when the node refuses the connection, or breaks off. */
  send(method: string, path: string, body?: object, headers?: object): Promise<Answer>
}

const PROBE_EVERY_MS = 100

export function openBalancer(nodes: readonly string[]): Balancer {
  const agent = new Agent({ keepAlive: true })
  const stopping = new AbortController()
  const isUp = new Map<string, boolean>()
  const probe = async (node: string) => {
    while (!stopping.signal.aborted) {
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(5_000)])
      const health = await fetch(`${node}/health`, { signal }).catch(() => undefined)
      await health?.bytes().catch(() => {})
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
  return {
    send: (method, path, body, headers) => {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>()
      const type = body ? { 'content-type': 'application/json' } : {}
      const asked = request(pick() + path, { method, agent, headers: { ...type, ...headers } })
      asked.on('error', reject)
      asked.on('response', (response) => {
        const { statusCode: status = 0, headers } = response
        json(response).then((answered) => resolve({ status, headers, body: answered }), reject)
      })
      asked.end(body && JSON.stringify(body))
      return promise
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      agent.destroy()
      await probing
    },
  }
}
