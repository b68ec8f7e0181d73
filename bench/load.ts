// Requests from a number of connections, each of which sends its next one when the last was answered. By
// hand on sockets: a client that takes longer than the service would be what is measured.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { cpuMsOf } from './process-usage.ts'
import type { BenchedProcess } from './service.ts'
import { percentile } from './statistics.ts'

export interface LoadOptions {
  service: Pick<BenchedProcess, 'url' | 'pid'>
  connections: number
  seconds: number
  /** The next request, whole. */
  next(): Buffer
  /** The status that each answer must have. */
  status: number
}

export interface Load {
  requests: number
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** Processor time of the service per request, microseconds: what counts where the client is the slower one. */
  cpuMicros: number
}

export function getRequest(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`)
}

export function postRequest(path: string, json: unknown): Buffer {
  const body = JSON.stringify(json)
  const head = `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json`
  return Buffer.from(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

/** Throws when an answer has another status, or a connection ends. */
export async function putUnderLoad(options: LoadOptions): Promise<Load> {
  const { service, connections, seconds } = options
  const { hostname, port } = new URL(service.url)
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect(Number(port), hostname).setNoDelay()
      await once(socket, 'connect')
      return socket
    }),
  )
  try {
    const cpuBefore = await cpuMsOf(service.pid)
    const startedAt = performance.now()
    const until = startedAt + seconds * 1000
    const latencies = (
      await Promise.all(sockets.map((socket) => drive(socket, until, options)))
    ).flat()
    const elapsedMs = performance.now() - startedAt
    const cpuMs = (await cpuMsOf(service.pid)) - cpuBefore
    return {
      requests: latencies.length,
      perSecond: (latencies.length * 1000) / elapsedMs,
      p50Ms: percentile(latencies, 50),
      p99Ms: percentile(latencies, 99),
      cpuMicros: (cpuMs * 1000) / latencies.length,
    }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

/** Milliseconds of each request, in turn on one connection until the time is over. */
function drive(socket: Socket, until: number, { next, status }: LoadOptions): Promise<number[]> {
  const { promise, resolve, reject } = Promise.withResolvers<number[]>()
  const latencies: number[] = []
  let sentAt = 0
  let received: Buffer = Buffer.alloc(0)
  const send = () => {
    sentAt = performance.now()
    socket.write(next())
  }
  socket.on('error', reject).on('close', () => reject(new Error('a connection was closed')))
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    const answer = answerIn(received)
    if (answer === undefined) return
    if (answer.status !== status) return reject(new Error(received.toString('latin1')))
    received = Buffer.alloc(0)
    const now = performance.now()
    latencies.push(now - sentAt)
    if (now < until) send()
    else resolve(latencies)
  })
  send()
  return promise
}

/** Undefined until all of it has arrived. */
function answerIn(received: Buffer): { status: number } | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = received.toString('latin1', 0, end)
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN)
  if (Number.isNaN(length)) throw new Error(`an answer without a length: ${head}`)
  return received.length < end + 4 + length ? undefined : { status: Number(head.slice(9, 12)) }
}
