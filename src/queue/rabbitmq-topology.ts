// What has to be there in the broker: the queue, and beside it `<queue>.dead` with an exchange of the same
// name. Declared again by every connection, the queue by a listener whose queue was deleted, and what is dead by
// whoever has something to put there. The queue not by others: one that is made again at once is taken for the
// old one by RabbitMQ 3.10, and its listener hears no more.

import type { Channel, Connection } from 'rabbitmq-client'
import { AppError } from '../errors.ts'
import { codeOf } from './rabbitmq-server.ts'

export interface Topology {
  queue: string
  /** `classic`: queues that are there are used as they are. */
  type: 'quorum' | 'classic'
}

export interface QueueState {
  messageCount: number
  consumerCount: number
}

/**
 * How often a bell may be given back. Before 4.0 there is no limit of the broker's own, and one that
 * ends its receiver each time would go round for ever; the same number is its default since.
 */
const DELIVERY_LIMIT = 20

/** Name of the queue for what is dead, and of the exchange that leads there. */
export function deadOf({ queue }: Topology): string {
  return `${queue}.dead`
}

/** Throws `unavailable` with what to do about a queue that has other arguments, and what the driver throws. */
export async function declare(connection: Connection, topology: Topology): Promise<void> {
  await declareDead(connection, topology)
  await declaring(connection, topology, (_channel, declareQueue) =>
    declareQueue(topology.queue, mainArguments(topology)),
  )
}

/** Only what is for the dead. Throws as `declare` does. */
export async function declareDead(connection: Connection, topology: Topology): Promise<void> {
  const name = deadOf(topology)
  await declaring(connection, topology, async (channel, declareQueue) => {
    await channel.exchangeDeclare({ exchange: name, type: 'fanout', durable: true })
    await declareQueue(name, { 'x-queue-type': topology.type })
    await channel.queueBind({ exchange: name, queue: name })
  })
}

type DeclareQueue = (name: string, options: Record<string, unknown>) => Promise<void>

async function declaring(
  connection: Connection,
  topology: Topology,
  work: (channel: Channel, declareQueue: DeclareQueue) => Promise<void>,
): Promise<void> {
  const channel = await openChannel(connection)
  try {
    await work(channel, async (name, options) => {
      if (topology.type === 'classic' && (await find(connection, name))) return
      await channel.queueDeclare({ queue: name, durable: true, arguments: options })
    })
  } catch (error) {
    if (codeOf(error) === 'PRECONDITION_FAILED') throw mismatch(topology, error as Error)
    throw error
  } finally {
    await channel.close()
  }
}

/** A channel whose errors end it, and nothing else: what they mean is known where it is used. */
export async function openChannel(connection: Connection): Promise<Channel> {
  const channel = await connection.acquire({ emitErrorsFromChannel: true })
  channel.on('error', () => {})
  return channel
}

/** At least once into the dead queue takes `reject-publish`: what no longer fits may not push out what is there. */
function mainArguments(topology: Topology): Record<string, unknown> {
  const common = {
    'x-queue-type': topology.type,
    'x-dead-letter-exchange': deadOf(topology),
  }
  if (topology.type === 'classic') return common
  return {
    ...common,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
    'x-delivery-limit': DELIVERY_LIMIT,
  }
}

/** The state of a queue, if it is there. On a channel of its own: asking for one that is not ends it. */
export async function find(connection: Connection, queue: string): Promise<QueueState | undefined> {
  const channel = await openChannel(connection)
  try {
    return await channel.queueDeclare({ queue, passive: true })
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return undefined
    throw error
  } finally {
    await channel.close()
  }
}

function mismatch({ queue }: Topology, error: Error): AppError {
  const answer = error.message.replace(/^.*PRECONDITION_FAILED - /, '')
  return new AppError(
    'unavailable',
    `RabbitMQ has a queue or exchange of this name that was declared otherwise (${answer}): delete it if nothing else uses it, its bells are rung again; or choose another name with RABBITMQ_IMAGE_QUEUE; or use "${queue}" and "${queue}.dead" as they are with RABBITMQ_QUEUE_TYPE=classic`,
    { cause: error },
  )
}
