// Bells from RabbitMQ. The broker hands out as many as there may be calls under way, so that nothing waits
// here that could be heard elsewhere. What is no bell goes to the dead queue. Nothing is given back but by who
// stops: a message that could be tried again is kept in hand meanwhile, for the broker counts what comes back.

import { setTimeout as sleep } from 'node:timers/promises'
import type { AsyncMessage, Channel, Connection } from 'rabbitmq-client'
import { createBackoff } from '../lib/backoff.ts'
import { orAborted } from '../lib/deadline.ts'
import type { Logger } from '../observability/logger.ts'
import { createJudge, type Verdict } from './judge.ts'
import type { BellHandler } from './queue.ts'
import type { Publisher } from './rabbitmq-publisher.ts'
import { refusedEnvelope } from './rabbitmq-refused.ts'
import { deadOf, declare, openChannel, type Topology } from './rabbitmq-topology.ts'
import type { Trouble } from './trouble.ts'

export interface ListenerOptions {
  connection: Connection
  topology: Topology
  /** Publishes what belongs into the dead queue. */
  dead: Publisher
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
/** Between two tries at a message that could not be dealt with. */
const AGAIN_MS = 1_000
/** After which a message that does not get into the dead queue is left to the broker: bells wait behind it. */
const MOVES = 3

/** Listens until `signal` is aborted and all calls have ended, over any number of channels. */
export async function listen(options: ListenerOptions): Promise<void> {
  const { signal, trouble } = options
  const deal = createDealer(options)
  const trying = createBackoff({ firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS, signal })
  while (!signal.aborted) {
    try {
      await hear(options, deal, () => {
        trouble.end(PART)
        trying.reset()
      })
    } catch (error) {
      if (signal.aborted) return
      trouble.begin(PART, error)
      await trying.pause()
    }
  }
}

/** Listens on one channel until it ends or `signal` is aborted. Its calls have ended then, for no other channel can acknowledge them. */
async function hear(
  { connection, topology, concurrency, signal }: ListenerOptions,
  deal: Dealer,
  onReady: () => void,
): Promise<void> {
  // Nobody who stops waits for a broker that is away.
  const channel = await orAborted(openListening(connection, topology), signal)
  const { promise: ended, resolve: end, reject: lose } = Promise.withResolvers<void>()
  ended.catch(() => {})
  const aborted = () => end()
  signal.addEventListener('abort', aborted, { once: true })
  const calls = new Set<Promise<void>>()
  const over = new AbortController()
  channel.once('basic.cancel', (_tag, error) => lose(error))
  channel.once('close', () => lose(new Error('the channel was closed')))
  channel.on('error', lose)
  const deliver = (message: AsyncMessage) => {
    if (signal.aborted) return // given back with the channel
    const call = deal(message, over.signal)
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
    over.abort()
    await Promise.all(calls)
    void channel.close()
  }
}

async function openListening(connection: Connection, topology: Topology): Promise<Channel> {
  await declare(connection, topology)
  return await openChannel(connection)
}

/** On a channel that is gone there is nobody to tell: the broker has taken the message back. */
function tell(channel: Channel, { deliveryTag }: AsyncMessage, verdict: Verdict): void {
  if (!channel.active) return
  if (verdict === 'done') channel.basicAck({ deliveryTag })
  // Without `requeue` the broker itself puts it to the dead, if its queue was declared so.
  else channel.basicNack({ deliveryTag, requeue: verdict === 'again' })
}

/** Deals with a message until it is done with, or `over` is aborted: then it goes back. Never rejects. */
type Dealer = (message: AsyncMessage, over: AbortSignal) => Promise<Verdict>

function createDealer({ handler, topology, dead, signal, log }: ListenerOptions): Dealer {
  const exchange = deadOf(topology)
  const judge = createJudge<AsyncMessage>({
    handler,
    bodyOf: ({ body }) => body,
    nameOf: ({ messageId }) => ({ message_id: messageId }),
    dead: exchange,
    move: (message, reason) => {
      const envelope = { ...refusedEnvelope(message, reason), exchange }
      return dead.publish([{ envelope, body: message.body }])
    },
    signal,
    log,
  })
  return async (message, over) => {
    for (let moves = 0; ; ) {
      const verdict = await judge(message)
      // Kept for its next ring, a bell would only have the broker count its returns.
      if (verdict === 'done' || verdict === 'unheard') return 'done'
      if (verdict === 'unmoved' && ++moves === MOVES) {
        const { messageId } = message
        log.error(
          { message_id: messageId },
          `a message that ${exchange} does not take is left to the broker, which may drop it`,
        )
        return verdict
      }
      if (!over.aborted) await sleep(AGAIN_MS, undefined, { signal: over }).catch(() => {})
      if (over.aborted) return 'again'
    }
  }
}
