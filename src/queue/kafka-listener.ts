// Bells from Kafka. A record is read when there is room for its call, and counts as done as soon as it was
// answered: no slow picture holds back its partition, and what was not answered comes again, here or elsewhere.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { createJudge, type ReasonHeaders, type Verdict } from './judge.ts'
import { type KafkaMessage, type MembershipOptions, openMembership } from './kafka-membership.ts'
import type { Publisher } from './kafka-publisher.ts'
import { type KafkaServer, plain } from './kafka-server.ts'
import { deadOf, type Topology } from './kafka-topology.ts'
import type { BellHandler } from './queue.ts'
import type { Trouble } from './trouble.ts'

export interface ListenerOptions {
  server: KafkaServer
  topology: Topology
  /** For what belongs into the dead topic. */
  publisher: Publisher
  handler: BellHandler
  concurrency: number
  signal: AbortSignal
  /** Between two tries at a record that could not be dealt with. Others of its partition are not held up. */
  againMs: number
  /** Between two looks at how many partitions the topic has. */
  lookMs: number
  trouble: Trouble
  log: Logger
}

const PART = 'listening'
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 5_000

/** Listens until `signal` is aborted and all calls have ended, as a member of the group over and over. */
export async function listen(options: ListenerOptions): Promise<void> {
  const { signal, trouble } = options
  const desk = createDesk(options)
  const instance = randomUUID()
  let pauseMs = FIRST_PAUSE_MS
  while (!signal.aborted) {
    try {
      await attend({ ...options, instance }, desk, () => {
        trouble.end(PART)
        pauseMs = FIRST_PAUSE_MS
      })
    } catch (error) {
      if (signal.aborted) break
      trouble.begin(PART, plain(error))
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
    }
  }
  await desk.finish()
}

/** Is a member of the group until that fails, its topic has other partitions, or `signal` is aborted. */
async function attend(
  { server, topology, instance, lookMs, signal }: MembershipOptions,
  desk: Desk,
  onReady: () => void,
): Promise<void> {
  await using membership = await openMembership({ server, topology, instance, lookMs, signal })
  if (signal.aborted) return
  onReady()
  const take = () => {
    while (desk.hasRoom() && !signal.aborted) {
      const taken = membership.next()
      if (!taken) return
      desk.receive(taken.message, membership.signal, taken.answered)
    }
  }
  using _taking = desk.whenThereIsRoom(take)
  await membership.until(take)
  // Only who is a member can say what was answered. Nothing new is taken, and nobody waits for a slot now.
  if (signal.aborted) await desk.finish()
}

/** Where messages are dealt with, a bounded number at a time, over all memberships. */
interface Desk {
  hasRoom(): boolean
  /** Calls back whenever a place has become free. */
  whenThereIsRoom(take: () => void): Disposable
  receive(message: KafkaMessage, over: AbortSignal, answered: () => void): void
  /** Resolves when nothing is under way any more. */
  finish(): Promise<void>
}

function createDesk(options: ListenerOptions): Desk {
  const deal = createDealer(options)
  const calls = new Set<Promise<void>>()
  let take = () => {}
  return {
    hasRoom: () => calls.size < options.concurrency,
    whenThereIsRoom: (callback) => {
      take = callback
      return {
        [Symbol.dispose]: () => {
          take = () => {}
        },
      }
    },
    receive: (message, over, answered) => {
      const call = deal(message, over).then((verdict) => {
        calls.delete(call)
        if (verdict === 'done') answered()
        take()
      })
      calls.add(call)
    },
    finish: async () => {
      await Promise.all(calls)
    },
  }
}

/** Deals with a message until it is done, or somebody else will be given it. Never rejects. */
function createDealer(options: ListenerOptions) {
  const { handler, topology, publisher, signal, againMs, log } = options
  const dead = deadOf(topology)
  const judge = createJudge<KafkaMessage>({
    handler,
    bodyOf: ({ value }) => value,
    nameOf: ({ partition, offset }) => ({ partition, offset: String(offset) }),
    dead,
    move: (message, reason) => move(message, reason, { dead, publisher }),
    signal,
    log,
  })
  return async (message: KafkaMessage, over: AbortSignal): Promise<Verdict> => {
    for (;;) {
      const verdict = await judge(message)
      if (verdict === 'done') return verdict
      if (!over.aborted) await sleep(againMs, undefined, { signal: over }).catch(() => {})
      if (over.aborted) return verdict
    }
  }
}

/** What the dead topic is too narrow for leaves its place in the other one. */
async function move(
  { key, value, headers, partition, offset }: KafkaMessage,
  reason: ReasonHeaders,
  { dead, publisher }: { dead: string; publisher: Publisher },
): Promise<void> {
  try {
    await publisher.publish([{ topic: dead, key, value, headers: withReason(headers, reason) }])
  } catch (error) {
    if (!isAppError(error, 'too_large')) throw error
    const place = `It is too large to be moved, and was at offset ${offset} of partition ${partition}.`
    const detail = `${reason['vitrine-detail']} ${place}`
    const only = withReason(new Map(), { ...reason, 'vitrine-detail': detail })
    await publisher.publish([{ topic: dead, headers: only }])
  }
}

type Headers = KafkaMessage['headers']

function withReason(headers: Headers, reason: ReasonHeaders): Headers {
  const others = [...headers].filter(([name]) => !Object.hasOwn(reason, String(name)))
  const ours = Object.entries(reason).map((pair) => pair.map((text) => Buffer.from(text)))
  return new Map([...others, ...(ours as [Buffer, Buffer][])])
}
