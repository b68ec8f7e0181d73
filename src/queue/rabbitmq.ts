// RabbitMQ as the doorbell: a quorum queue of job ids, and a queue of dead jobs beside it for those who
// look there. Announcing and listening have connections of their own, for a broker that is short of
// memory blocks whoever publishes, acknowledgements included. Bells and what is dead have channels of their
// own: what one queue does not take ends its channel.

import type { Connection } from 'rabbitmq-client'
import { AppError, isAppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { bellMessage, letterMessage } from './messages.ts'
import type { Queue, QueueFigures } from './queue.ts'
import { listen } from './rabbitmq-listener.ts'
import { createPublisher, type Publisher } from './rabbitmq-publisher.ts'
import {
  close,
  connectTo,
  describeServer,
  explainRefusal,
  type RabbitmqServer,
  unavailable,
  watch,
} from './rabbitmq-server.ts'
import { deadOf, declare, declareDead, find, type Topology } from './rabbitmq-topology.ts'
import { createTrouble } from './trouble.ts'

export interface RabbitmqQueueOptions {
  server: RabbitmqServer
  topology: Topology
  log: Logger
}

/**
 * Opens the queue, and goes on without a broker that cannot be reached: it is needed by nobody at once, and
 * looked for until it is there. Throws what only an operator can mend: a wrong password, a queue that was
 * declared otherwise.
 */
export async function openRabbitmqQueue(options: RabbitmqQueueOptions): Promise<Queue> {
  const { server, topology, log } = options
  const trouble = createTrouble(describeServer(server), log)
  const connection = connectTo(server, 'announcing')
  watch(connection, 'announcing', trouble)
  const bells = createPublisher({
    connection,
    declare: () => declare(connection, topology),
    remakes: false,
  })
  const dead = createPublisher({
    connection,
    declare: () => declareDead(connection, topology),
    remakes: true,
  })
  try {
    await firstContact(connection, bells, server)
  } catch (error) {
    await close(connection)
    throw error
  }
  return {
    announce: (jobIds) =>
      bells.publish(
        jobIds.map((jobId) => ({
          envelope: { routingKey: topology.queue, messageId: jobId },
          body: bellMessage(jobId),
        })),
      ),
    bury: (letters) =>
      dead.publish(
        letters.map((letter) => ({
          envelope: { exchange: deadOf(topology), messageId: letter.jobId },
          body: letterMessage(letter),
        })),
      ),
    listen: async (handler, { concurrency, signal }) => {
      const listening = connectTo(server, 'listening')
      watch(listening, 'connecting', trouble)
      const parts = { connection: listening, topology, dead, trouble, log }
      await listen({ ...parts, handler, concurrency, signal })
      await close(listening)
    },
    ping: async () => {
      if (!connection.ready) throw new AppError('unavailable', 'RabbitMQ cannot be reached.')
      if (dead.isFailing())
        throw new AppError('unavailable', 'The queue for what is dead takes no messages.')
      try {
        return await figuresOf(connection, topology)
      } catch (error) {
        throw unavailable(error)
      }
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([bells, dead].map((publisher) => publisher[Symbol.asyncDispose]()))
      await close(connection)
    },
  }
}

/** Resolves when everything is declared, or when the broker cannot be reached: that was logged. */
async function firstContact(
  connection: Connection,
  bells: Publisher,
  server: RabbitmqServer,
): Promise<void> {
  const { promise: refused, resolve: refuse } = Promise.withResolvers<unknown>()
  connection.once('error', refuse)
  const prepared = bells.prepare().then(
    () => undefined,
    (error: unknown) => error,
  )
  const failure = await Promise.race([prepared, refused])
  connection.off('error', refuse)
  const forGood = isAppError(failure) ? failure : explainRefusal(failure, server)
  if (forGood) throw forGood
}

async function figuresOf(connection: Connection, topology: Topology): Promise<QueueFigures> {
  const main = await find(connection, topology.queue)
  if (!main) throw new AppError('unavailable', 'The queue is not there any more.')
  // One that is gone comes back with the next message for it.
  const dead = await find(connection, deadOf(topology))
  const { messageCount: bells, consumerCount: listeners } = main
  return { bells, listeners, dead_letters: dead?.messageCount ?? 0 }
}
