// Signals between processes by LISTEN and NOTIFY, on a session of their own: NOTIFY inside the
// transactions that cause it cost 62 % of write throughput, because of a lock held through commit.

import { once } from 'node:events'
import pg from 'pg'
import { createBackoff } from '../lib/backoff.ts'
import type { Logger } from '../observability/logger.ts'
import { type Channel, channels, type Signals } from './database.ts'
import { createLocalSignals } from './local-signals.ts'

const RECONNECT = { firstMs: 100, longestMs: 5_000 }
/** A session whose peer has silently gone is found out within these two. */
const HEARTBEAT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 5_000
/** Between two notifications of a channel: each takes a lock of the whole server, and wakes every process. */
const REST_MS = 10

/** Prefixed, as every user of the database shares the names. */
const nameOf = (channel: Channel) => `vitrine_${channel}`
const channelOf = new Map(channels.map((channel) => [nameOf(channel), channel]))

/**
 * Resolves after the first attempt to connect, whatever came of it, and never rejects: listeners
 * poll as well, so a lost session costs time only. It is tried again for ever.
 */
export async function openPostgresSignals(
  config: pg.ClientConfig,
  log?: Pick<Logger, 'info' | 'warn'>,
): Promise<Signals & AsyncDisposable> {
  const local = createLocalSignals()
  const stopping = new AbortController()
  const stopped = once(stopping.signal, 'abort')
  const attempted = Promise.withResolvers<void>()
  let courier: Courier | undefined
  let isLost = false

  /** Once each way: an outage is tried against for as long as it lasts. */
  const tellLost = (failure: unknown) => {
    if (isLost || stopping.signal.aborted) return
    isLost = true
    log?.warn({ err: failure }, 'signals of other processes do not arrive: polling until they do')
  }
  const tellRegained = () => {
    if (isLost) log?.info('signals of other processes arrive again')
    isLost = false
  }
  /** Resolves when a session that was had is over, rejects when none was to be had. */
  const attend = async () => {
    const client = new pg.Client({ ...config, query_timeout: STATEMENT_TIMEOUT_MS })
    try {
      const { ended } = await startListening(client, local)
      stopping.signal.throwIfAborted()
      courier = createCourier(client)
      tellRegained()
      for (const channel of channels) {
        local.send(channel) // others may have signalled while nobody listened here
        courier.send(channel) // and we while nobody could be told
      }
      attempted.resolve()
      await Promise.race([ended, stopped])
    } finally {
      courier?.stop()
      courier = undefined
      void client.end() // a silent server would let us wait for its goodbye
    }
  }
  const run = async () => {
    const backoff = createBackoff({ ...RECONNECT, signal: stopping.signal })
    while (!stopping.signal.aborted) {
      const failure = await attend().catch((error: unknown) => error)
      tellLost(failure)
      attempted.resolve()
      if (failure === undefined) backoff.reset()
      await backoff.pause()
    }
  }

  const running = run()
  await attempted.promise
  return {
    listen: local.listen,
    send: (channel) => {
      local.send(channel)
      courier?.send(channel)
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      await running
    },
  }
}

/** Connects and listens; `ended` resolves when the session is over, by whatever cause. */
async function startListening(
  client: pg.Client,
  local: Signals,
): Promise<{ ended: Promise<void> }> {
  client.on('error', () => {}) // 'end' follows
  const ended = new Promise<void>((resolve) => client.once('end', () => resolve()))
  await client.connect()
  const { processID: ownId } = client as pg.Client & { processID: number }
  client.on('notification', ({ channel: name, processId }) => {
    const channel = channelOf.get(name)
    // Our own come back to us too, long after the listeners here were woken.
    if (channel && processId !== ownId) local.send(channel)
  })
  await client.query(channels.map((channel) => `LISTEN ${nameOf(channel)}`).join('; '))
  return { ended }
}

interface Courier {
  send(channel: Channel): void
  stop(): void
}

/** Tells other processes at once, and once more after a rest for all that was sent meanwhile. */
function createCourier(client: pg.Client): Courier {
  const unsent = new Set<Channel>()
  const resting = new Set<Channel>()
  const sentMeanwhile = new Set<Channel>()
  let busy = false
  const notify = async () => {
    if (busy) return
    busy = true
    try {
      do {
        const sent = [...unsent]
        unsent.clear()
        for (const channel of sent) rest(channel)
        const names = sent.map(nameOf)
        await client.query(`SELECT pg_notify(name, '') FROM unnest($1::text[]) AS name`, [names])
      } while (unsent.size > 0)
    } catch {
      void client.end() // whoever attends to the session opens another
    } finally {
      busy = false
    }
  }
  const rest = (channel: Channel) => {
    resting.add(channel)
    setTimeout(() => {
      resting.delete(channel)
      if (sentMeanwhile.delete(channel)) send(channel)
    }, REST_MS)
  }
  const send = (channel: Channel) => {
    if (resting.has(channel)) return void sentMeanwhile.add(channel)
    unsent.add(channel)
    void notify()
  }
  // Telling nobody anything is a round trip too.
  const heartbeat = setInterval(notify, HEARTBEAT_MS)
  return { send, stop: () => clearInterval(heartbeat) }
}
