// A member of the consumer group, from its joining to its leaving. Positions are told to the group as soon as
// they move; the library cares for heartbeats, rebalances and fetching. Whatever it cannot mend ends the
// membership: the next one begins where the group is.

import { setTimeout as sleep } from 'node:timers/promises'
import {
  Admin,
  Consumer,
  type Message,
  type MessageConsumerMetadata,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
} from '@platformatic/kafka'
import { orAborted, settlesWithin } from '../lib/deadline.ts'
import { createPositions, type FetchedRecord, type Positions } from './kafka-positions.ts'
import { clientOptions, close, hasMember, type KafkaServer } from './kafka-server.ts'
import { declare, type Topology } from './kafka-topology.ts'

export type KafkaMessage = Message

export interface Taken {
  message: KafkaMessage
  /** It need not come again. */
  answered(): void
}

export interface Membership extends AsyncDisposable {
  /** Aborted when it is over, or ends with its options' signal: what has not been answered is given to others. */
  readonly signal: AbortSignal
  /** The next record, if one is there. */
  next(): Taken | undefined
  /**
   * Calls back whenever there may be records. Resolves when the signal of its options is aborted, or the topic has
   * other partitions than it had: only who joins is given those that are new. Rejects when it has failed.
   */
  until(onRecords: () => void): Promise<void>
}

export interface MembershipOptions {
  server: KafkaServer
  topology: Topology
  /** Of one listener, in one membership after the other: the group need not wait for the death of the former. */
  instance: string
  /** Between two looks at how many partitions the topic has. */
  lookMs: number
  signal: AbortSignal
}

/** Somebody who died is noticed after this; brokers refuse less than 6 s where nobody has configured it. */
const SESSION_MS = 10_000
/** How long a rebalance goes unnoticed. */
const HEARTBEAT_MS = 1_000
/** For the others to notice that somebody has come or gone. */
const REBALANCE_MS = 15_000
/** A broker without new records keeps a question that long. */
const FETCH_WAIT_MS = 1_000
/** Thousands of bells; of what is larger one record at a time. */
const FETCH_BYTES = 1024 ** 2
/** What is not told by then comes again. */
const TELLING_MS = 2_000

/** Throws what the library throws, and when `signal` is aborted before the group has answered. */
export async function openMembership(options: MembershipOptions): Promise<Membership> {
  const { topology, signal } = options
  const over = new AbortController()
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => {})
  const consumer = createConsumer(options)
  const positions = createPositions()
  const teller = createTeller(consumer, { topic: topology.topic, positions, fail })
  consumer.on('error', fail)
  consumer.on('consumer:heartbeat:stalled', ({ lastError }) =>
    fail(lastError ?? new Error('Kafka does not answer any more.')),
  )
  const end = async () => {
    over.abort()
    await settlesWithin(teller.tell(), TELLING_MS)
    await close(consumer)
  }
  const tellAfter = (answered: () => void) => {
    answered()
    if (!over.signal.aborted) void teller.tell()
  }

  try {
    await orAborted(declareOnce(options), signal)
    // Before it joins: what is added from now on may have been left out.
    const count = await orAborted(countPartitions(consumer, topology.topic), signal)
    const stream = await orAborted(consume(consumer, topology.topic), signal)
    stream.on('error', fail)
    stream.on('close', () => fail(new Error('The stream of records has ended.')))
    const ended = AbortSignal.any([signal, over.signal])
    return {
      signal: ended,
      next: () => {
        for (;;) {
          const message: KafkaMessage | null = stream.read()
          if (!message) return undefined
          const answered = positions.begin(fetched(message))
          if (answered) return { message, answered: () => tellAfter(answered) }
        }
      },
      until: async (onRecords) => {
        stream.on('readable', onRecords)
        onRecords()
        const changed = countChanges(consumer, count, { ...options, signal: ended })
        await orAborted(Promise.race([failed, changed]), signal).catch((error) => {
          if (!signal.aborted) throw error
        })
      },
      [Symbol.asyncDispose]: async () => {
        stream.destroy()
        await end()
      },
    }
  } catch (error) {
    await end()
    throw error
  }
}

function createConsumer({ server, topology, instance }: MembershipOptions): Consumer {
  return new Consumer({
    ...clientOptions(server, 'listening'),
    groupId: topology.group,
    groupInstanceId: instance,
    autocommit: false,
    sessionTimeout: SESSION_MS,
    rebalanceTimeout: REBALANCE_MS,
    heartbeatInterval: HEARTBEAT_MS,
    heartbeatStallTimeout: SESSION_MS,
    maxWaitTime: FETCH_WAIT_MS,
    maxBytes: FETCH_BYTES,
  })
}

function consume(consumer: Consumer, topic: string) {
  return consumer.consume({
    topics: [topic],
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: MessagesStreamFallbackModes.EARLIEST,
  })
}

async function countPartitions(consumer: Consumer, topic: string): Promise<number | undefined> {
  const { topics } = await consumer.metadata({ topics: [topic], forceUpdate: true })
  return topics.get(topic)?.partitionsCount
}

/** Resolves when the topic has not so many partitions any more, or `signal` is aborted. */
async function countChanges(
  consumer: Consumer,
  count: number | undefined,
  { topology, lookMs, signal }: MembershipOptions,
): Promise<void> {
  for (;;) {
    await sleep(lookMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    // What is wrong with a topic that cannot be looked at, the fetches notice.
    const now = await countPartitions(consumer, topology.topic).catch(() => count)
    if (now !== count) return
  }
}

interface TellerOptions {
  topic: string
  positions: Positions
  fail(error: unknown): void
}

interface Teller {
  /** Resolves when the group has what has moved so far, or cannot be told now. Never rejects. */
  tell(): Promise<void>
}

/** Assigns the positions with each generation, and tells the group of them, one request at a time. */
function createTeller(consumer: Consumer, { topic, positions, fail }: TellerOptions): Teller {
  /** Between two generations nobody can say what was answered in which. */
  let isSettled = false
  let telling: Promise<void> | undefined
  const tellMoves = async () => {
    while (isSettled) {
      const moves = positions.moves()
      if (moves.length === 0) return
      const offsets = moves.map(({ partition, offset }) => ({
        topic,
        partition,
        offset,
        leaderEpoch: -1,
      }))
      await consumer.commit({ offsets })
      for (const { confirm } of moves) confirm()
    }
  }
  const tell = () => {
    telling ??= tellMoves()
      // Who is thrown out of a generation hears of it by its heartbeats, and tells again in the next.
      .catch((error) => void (hasMember(error, 'needsRejoin', true) || fail(error)))
      .finally(() => {
        telling = undefined
      })
    return telling
  }
  consumer.on('consumer:group:rebalance', () => {
    isSettled = false
  })
  consumer.on('consumer:group:join', ({ generationId = 0, assignments }) => {
    const ours = assignments?.find((assignment) => assignment.topic === topic)
    isSettled = false
    try {
      positions.assign(generationId, ours?.partitions ?? [])
    } catch (error) {
      return fail(error)
    }
    isSettled = true
    void tell()
  })
  return { tell }
}

/** The topics are looked for by a client of its own, for a member knows no way to make them. */
async function declareOnce({ server, topology }: MembershipOptions): Promise<void> {
  const admin = new Admin(clientOptions(server, 'listening'))
  try {
    await declare(admin, topology)
  } finally {
    await close(admin)
  }
}

function fetched({ partition, offset, metadata }: KafkaMessage): FetchedRecord {
  const { generationId } = metadata.consumer as MessageConsumerMetadata
  return { partition, offset, generation: generationId }
}
