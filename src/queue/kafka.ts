// Kafka as the doorbell: a topic of job ids, which a consumer group shares, and a topic of dead jobs beside it
// for those who look there.

import { AppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { createDeadTopic } from './kafka-dead.ts'
import { listen } from './kafka-listener.ts'
import { openPublisher } from './kafka-publisher.ts'
import { describeServer, type KafkaServer } from './kafka-server.ts'
import { deadOf, type Topology } from './kafka-topology.ts'
import { bellMessage, letterMessage } from './messages.ts'
import type { Queue } from './queue.ts'
import { createTrouble } from './trouble.ts'

export interface KafkaQueueOptions {
  server: KafkaServer
  topology: Topology
  /** Between two tries at a record that nobody could deal with; the first of such pauses, where they grow. */
  againMs?: number
  /** Between two looks at how many partitions the topic has: a listener does not know of those that are added. */
  lookMs?: number
  log: Logger
}

/**
 * Opens the queue, and goes on without a broker that cannot be reached: it is needed by nobody at once, and
 * looked for until it is there. Throws what only an operator can mend: a wrong password, topics that may not be made.
 */
export async function openKafkaQueue(options: KafkaQueueOptions): Promise<Queue> {
  const { server, topology, againMs = 1_000, lookMs = 30_000, log } = options
  const trouble = createTrouble(describeServer(server), log)
  const { topic } = topology
  const publisher = await openPublisher({ server, topology, trouble })
  const dead = createDeadTopic(deadOf(topology), publisher)
  return {
    announce: (jobIds) =>
      publisher.publish(jobIds.map((jobId) => ({ topic, ...recordOf(jobId, bellMessage(jobId)) }))),
    bury: (letters) =>
      dead.put(letters.map((letter) => recordOf(letter.jobId, letterMessage(letter)))),
    listen: (handler, { concurrency, signal }) =>
      listen({
        ...{ server, topology, dead, trouble, againMs, lookMs, log },
        ...{ handler, concurrency, signal },
      }),
    ping: async () => {
      const figures = await publisher.figures()
      if (dead.isRefusing())
        throw new AppError('unavailable', 'The topic for what is dead takes no messages.')
      return figures
    },
    [Symbol.asyncDispose]: () => publisher[Symbol.asyncDispose](),
  }
}

function recordOf(key: string, message: object) {
  return { key: Buffer.from(key), value: Buffer.from(JSON.stringify(message)) }
}
