// Records into Kafka, in batches, and how things stand there. A producer that has failed is done with: a new
// one begins afresh, and is looked for until there is one.

import { Admin, type MessageToProduce, Producer } from '@platformatic/kafka'
import { AppError } from '../errors.ts'
import { createBackoff } from '../lib/backoff.ts'
import { withDeadline } from '../lib/deadline.ts'
import { figuresOf } from './kafka-figures.ts'
import {
  clientOptions,
  close,
  explainOutage,
  explainRefusal,
  hasMember,
  type KafkaServer,
  plain,
  unavailable,
} from './kafka-server.ts'
import { declare, type Topology } from './kafka-topology.ts'
import type { QueueFigures } from './queue.ts'
import type { Trouble } from './trouble.ts'

/** Of bytes, as the library has them when it is told of no other form. */
export type NewRecord = MessageToProduce

export interface Publisher extends AsyncDisposable {
  /**
   * Resolves when all replicas that Kafka waits for have each of them. Throws `unavailable`, which is a `Refused` where
   * waiting does not help, and `too_large` for a record that the topic does not take; some may be there then.
   */
  publish(records: readonly NewRecord[]): Promise<void>
  /** Throws `unavailable`. */
  figures(): Promise<QueueFigures>
}

/** Kafka is there, and does not take these records: nor will it, until somebody has changed something there. */
export class Refused extends AppError {
  constructor(cause: Error) {
    super('unavailable', 'Kafka refuses the messages.', { cause })
  }
}

export interface PublisherOptions {
  server: KafkaServer
  topology: Topology
  trouble: Trouble
}

const PART = 'announcing'
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 5_000
/** Answers come within milliseconds; from a broker that waits for its replicas later. */
const ANSWER_MS = 10_000
/** A start waits for it. */
const FIRST_ANSWER_MS = 5_000

interface Clients {
  admin: Admin
  producer: Producer
}

/** Goes on without a broker that cannot be reached. Throws what only an operator can mend. */
export async function openPublisher(options: PublisherOptions): Promise<Publisher> {
  const { server, topology, trouble } = options
  const closing = new AbortController()
  let clients: Clients | undefined
  let last: Promise<unknown> = Promise.resolve()

  const seek = async () => {
    const { signal } = closing
    const trying = createBackoff({ firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS, signal })
    let found: Clients | undefined
    while (!found && !signal.aborted) {
      await trying.pause()
      if (!signal.aborted) found = await connect(options).catch(() => undefined)
    }
    if (found && signal.aborted) return await closeAll(found)
    clients = found
    if (found) trouble.end(PART)
  }
  const lose = (error: unknown) => {
    trouble.begin(PART, explainOutage(error))
    if (clients) void closeAll(clients)
    clients = undefined
    // Waited for by nobody: a broker that does not answer must not hold up who closes.
    void seek()
  }
  const present = (): Clients => {
    // While it is away nobody waits.
    if (!clients) throw new AppError('unavailable', 'Kafka cannot be reached.')
    return clients
  }
  const send = async (messages: NewRecord[]) => {
    const { producer } = present()
    try {
      await inTime(producer.send({ messages }))
    } catch (error) {
      if (hasApiId(error, sizes))
        throw new AppError('too_large', 'Kafka takes no record of this size.')
      // What the topic or the rights of the user refuse is refused by every connection.
      if (hasApiId(error, refusals)) throw new Refused(plain(error))
      lose(error)
      throw unavailable(error, 'Kafka did not take the messages.')
    }
  }
  try {
    clients = await connect(options)
  } catch (error) {
    const forGood = explainRefusal(error, server)
    if (forGood) throw forGood
    lose(error)
  }
  return {
    publish: async (records) => {
      if (records.length === 0) return
      // One batch at a time: the numbers by which Kafka knows a repeated one go up.
      const sent = last.then(() => send([...records]))
      last = sent.catch(() => {})
      await sent
    },
    figures: async () => {
      const { admin } = present()
      try {
        return await inTime(figuresOf(admin, topology))
      } catch (error) {
        throw unavailable(error)
      }
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await last
      if (clients) await closeAll(clients)
      clients = undefined
    },
  }
}

async function connect({ server, topology }: PublisherOptions): Promise<Clients> {
  const admin = new Admin(clientOptions(server, PART))
  try {
    await inTime(declare(admin, topology), FIRST_ANSWER_MS)
  } catch (error) {
    await close(admin)
    throw error
  }
  // Idempotent: what is sent again is not written again, and all replicas in sync have what is answered.
  const producer = new Producer({ ...clientOptions(server, PART), idempotent: true })
  return { admin, producer }
}

/** Of one record, and of one in its batch. */
const sizes = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']

/**
 * Answers of a broker about the topic, the record or the rights. What brokers that are away explain is none:
 * a leader that is looked for, too few replicas.
 */
const refusals = [
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'POLICY_VIOLATION',
  'TOPIC_AUTHORIZATION_FAILED',
  // Who may write to no topic is not given the number of a producer either.
  'CLUSTER_AUTHORIZATION_FAILED',
]

function hasApiId(error: unknown, apiIds: readonly string[]): boolean {
  return apiIds.some((apiId) => hasMember(error, 'apiId', apiId))
}

function inTime<T>(answer: Promise<T>, ms = ANSWER_MS): Promise<T> {
  return withDeadline(answer, ms, () => new Error(`Kafka answered nothing within ${ms} ms.`))
}

async function closeAll({ admin, producer }: Clients): Promise<void> {
  await Promise.all([close(producer), close(admin)])
}
