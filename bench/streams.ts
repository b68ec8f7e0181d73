// What open streams of events cost: memory of each, and the time until all of them have an event. Half
// follow one product, half everything, so every change of that product is for all of them.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './bench.ts'
import { post } from './client.ts'
import { cpuMsOf, memoryOf } from './process-usage.ts'
import { type BenchedProcess, startService } from './service.ts'
import { percentile, round } from './statistics.ts'

const STREAMS = 5_000
/** Opened at a time: not more than wait to be accepted. */
const AT_ONCE = 100
const EVENTS = 40
const SETTLE_MS = 3_000

export const streamsBench: Bench = {
  name: 'streams',
  about: `${STREAMS} open streams of events: memory of each, and the time until all have an event`,
  run: async ({ directory, report }) => {
    await using service = await startService(join(directory, 'service'), { LOG_LEVEL: 'warn' })
    const id = await createProduct(service)
    // What the code itself takes the first time is not for one stream to bear.
    await closeAll(await openAll(service, id, 500))
    const before = await settledMemory(service)
    const started = performance.now()
    const streams = await openAll(service, id, STREAMS)
    const openedMs = performance.now() - started
    const open = await settledMemory(service)
    report(`${STREAMS} open after ${Math.round(openedMs)} ms`)

    const cpuBefore = await cpuMsOf(service.pid)
    const latencies: number[] = []
    for (let n = 1; n <= EVENTS; n++) latencies.push(await tellAll(service, id, streams, n))
    const cpuMs = (await cpuMsOf(service.pid)) - cpuBefore
    const busy = await settledMemory(service)

    const stopping = performance.now()
    await service.stop()
    const stopMs = performance.now() - stopping
    await closeAll(streams)
    const perStream = (bytes: number) => round((bytes - before) / STREAMS / 1024)
    return {
      rows: [
        { what: 'memory of a stream, idle', value: perStream(open), unit: 'KiB' },
        { what: 'memory of a stream, after events', value: perStream(busy), unit: 'KiB' },
        { what: 'opening', value: round((STREAMS / openedMs) * 1000), unit: 'streams/s' },
        { what: 'an event to all, p50', value: round(percentile(latencies, 50)), unit: 'ms' },
        { what: 'an event to all, p99', value: round(percentile(latencies, 99)), unit: 'ms' },
        {
          what: 'processor time of a delivery',
          value: round((cpuMs * 1000) / EVENTS / STREAMS),
          unit: 'µs',
        },
        { what: 'SIGTERM to the end, all open', value: round(stopMs), unit: 'ms' },
      ],
      rounds: { before, open, busy, latencies },
    }
  },
}

interface OpenStream {
  socket: Socket
  /** Changes of the product that it was told of. */
  told: number
}

async function createProduct({ url }: BenchedProcess): Promise<string> {
  const { id } = await post(url, [])
  return id
}

async function openAll(service: BenchedProcess, id: string, count: number): Promise<OpenStream[]> {
  const streams: OpenStream[] = []
  while (streams.length < count) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - streams.length) }, (_, n) =>
      openStream(service, n % 2 ? '/events' : `/products/${id}/events`),
    )
    streams.push(...(await Promise.all(batch)))
  }
  return streams
}

/** By hand on a socket: the client must not be what is measured. */
async function openStream({ url }: BenchedProcess, path: string): Promise<OpenStream> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).on('error', () => {})
  const stream: OpenStream = { socket, told: 0 }
  const { promise: begun, resolve } = Promise.withResolvers<void>()
  socket.setEncoding('latin1').on('data', (text: string) => {
    stream.told += text.split('event: product.updated').length - 1
    if (text.includes('event: snapshot')) resolve()
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`)
  await begun
  return stream
}

/** Milliseconds until the last stream has been told of the product's `n`th change. */
async function tellAll(
  { url }: BenchedProcess,
  id: string,
  streams: readonly OpenStream[],
  n: number,
): Promise<number> {
  const startedAt = performance.now()
  const response = await fetch(`${url}/products/${id}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify({ product_name: `Change ${n}` }),
  })
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  while (streams.some(({ told }) => told < n)) await delay(1)
  return performance.now() - startedAt
}

async function closeAll(streams: readonly OpenStream[]): Promise<void> {
  const open = streams.filter(({ socket }) => !socket.closed)
  await Promise.all(
    open.map(({ socket }) => {
      const closed = once(socket, 'close')
      socket.destroy()
      return closed
    }),
  )
}

async function settledMemory({ pid }: BenchedProcess): Promise<number> {
  await delay(SETTLE_MS)
  return (await memoryOf(pid)).parent
}
