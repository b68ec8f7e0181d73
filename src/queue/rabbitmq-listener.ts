// Bells from RabbitMQ. The broker hands out as many as there may be calls under way, so that nothing waits
// here that could be heard elsewhere. What is no bell goes to the dead queue and never comes round again.

import { setTimeout as sleep } from 'node:timers/promises'
import type { AsyncMessage, Channel, Connection, HeaderFields } from 'rabbitmq-client'
import type { Logger } from '../observability/logger.ts'
import { createJudge, type Verdict } from './judge.ts'
import type { BellHandler } from './queue.ts'
import type { Publisher } from './rabbitmq-publisher.ts'
import { deadOf, declare, openChannel, type Topology } from './rabbitmq-topology.ts'
import type { Trouble } from './trouble.ts'

export interface ListenerOptions {
  connection: Connection
  topology: Topology
  /** For what belongs into the dead queue. */
  publisher: Publisher
  handler: BellHandler
  concurrency: number
  signal: AbortSignal
  trouble: Trouble
  log: Logger
}

const PART = 'listening'
/** One on each channel. */
const CONSUMER = 'vitrine'
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 5_000
/** Before something is given back that could not be dealt with: it comes round again at once. */
const GIVE_BACK_MS = 1_000

/** Listens until `signal` is aborted and all calls have ended, over any number of channels. */
export async function listen(options: ListenerOptions): Promise<void> {
  const { signal, trouble } = options
  const judge = createListenerJudge(options)
  let pauseMs = FIRST_PAUSE_MS
  while (!signal.aborted) {
    try {
      await hear(options, judge, () => {
        trouble.end(PART)
        pauseMs = FIRST_PAUSE_MS
      })
    } catch (error) {
      if (signal.aborted) return
      trouble.begin(PART, error)
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
    }
  }
}

/** Listens on one channel until it ends or `signal` is aborted. Its calls have ended then, for no other channel can acknowledge them. */
async function hear(
  { connection, topology, concurrency, signal }: ListenerOptions,
  judge: (message: AsyncMessage) => Promise<Verdict>,
  onReady: () => void,
): Promise<void> {
  const channel = await orAborted(openListening(connection, topology), signal)
  if (!channel) return
  const { promise: ended, resolve: end, reject: lose } = Promise.withResolvers<void>()
  ended.catch(() => {})
  const aborted = () => end()
  signal.addEventListener('abort', aborted, { once: true })
  const calls = new Set<Promise<void>>()
  channel.once('basic.cancel', (_tag, error) => lose(error))
  channel.once('close', () => lose(new Error('the channel was closed')))
  channel.on('error', lose)
  const deliver = (message: AsyncMessage) => {
    if (signal.aborted) return // given back with the channel
    const call = judge(message)
      .then((verdict) => tell(channel, message, verdict))
      .finally(() => calls.delete(call))
    calls.add(call)
  }
  const consume = async () => {
    await channel.basicQos({ prefetchCount: concurrency })
    await channel.basicConsume({ queue: topology.queue, consumerTag: CONSUMER }, deliver)
    onReady()
  }
  if (signal.aborted) end()
  try {
    await Promise.race([ended, consume().then(() => ended)])
  } finally {
    signal.removeEventListener('abort', aborted)
    // Neither is waited for: a broker that does not answer must not hold up who stops.
    if (channel.active) channel.basicCancel({ consumerTag: CONSUMER }).catch(() => {})
    await Promise.all(calls)
    void channel.close()
  }
}

async function openListening(connection: Connection, topology: Topology): Promise<Channel> {
  await declare(connection, topology)
  return await openChannel(connection)
}

/** Undefined when aborted before: nobody waits for a broker that is away. */
async function orAborted(
  opening: Promise<Channel>,
  signal: AbortSignal,
): Promise<Channel | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const aborted = () => resolve(undefined)
  signal.addEventListener('abort', aborted, { once: true })
  if (signal.aborted) aborted()
  try {
    return await Promise.race([opening, promise])
  } finally {
    signal.removeEventListener('abort', aborted)
    opening.catch(() => {})
  }
}

/** On a channel that is gone there is nobody to tell: the broker has taken the message back. */
function tell(channel: Channel, { deliveryTag }: AsyncMessage, verdict: Verdict): void {
  if (!channel.active) return
  if (verdict === 'done') channel.basicAck({ deliveryTag })
  else channel.basicNack({ deliveryTag, requeue: true })
}

/** What is not done is given back after a moment, for it comes round again at once. Never rejects. */
function createListenerJudge(
  options: ListenerOptions,
): (message: AsyncMessage) => Promise<Verdict> {
  const { handler, topology, publisher, signal, log } = options
  const exchange = deadOf(topology)
  const { judge } = createJudge<AsyncMessage>({
    handler,
    bodyOf: ({ body }) => body,
    nameOf: ({ messageId }) => ({ message_id: messageId }),
    dead: exchange,
    move: (message, reason) => {
      const headers = { ...message.headers, ...reason }
      const envelope = { ...propertiesOf(message), headers, exchange }
      return publisher.publish([{ envelope, body: message.body }])
    },
    signal,
    log,
  })
  return async (message) => {
    const verdict = await judge(message)
    if (verdict === 'again') await sleep(GIVE_BACK_MS, undefined, { signal }).catch(() => {})
    return verdict
  }
}

/** Of what came with it, what tells of the body and of its sender; the rest is about how it got here. */
const kept = ['contentType', 'contentEncoding', 'messageId', 'type', 'appId'] as const

function propertiesOf(message: AsyncMessage): Pick<HeaderFields, (typeof kept)[number]> {
  return Object.fromEntries(
    kept.flatMap((name) => (message[name] === undefined ? [] : [[name, message[name]]])),
  )
}
