// Bells from Kafka. A record is read when there is room for its call, and counts as done as soon as it was
// answered: no slow picture holds back its partition, and what was not answered comes again, here or elsewhere.
// Who cannot look leaves the group, so that others are given its partitions: a key has no other way to them.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBackoff } from '../lib/backoff.ts'
import type { Logger } from '../observability/logger.ts'
import { createJudge, type Verdict } from './judge.ts'
import type { DeadTopic } from './kafka-dead.ts'
import {
  type KafkaMessage,
  type MembershipOptions,
  openMembership,
  type Taken,
} from './kafka-membership.ts'
import { explainOutage, type KafkaServer } from './kafka-server.ts'
import type { Topology } from './kafka-topology.ts'
import type { BellHandler } from './queue.ts'
import type { Trouble } from './trouble.ts'

export interface ListenerOptions {
  server: KafkaServer
  topology: Topology
  dead: DeadTopic
  handler: BellHandler
  concurrency: number
  signal: AbortSignal
  /**
   * Between two tries at a record that could not be dealt with, which holds up no other of its partition. Who has
   * left the group stays away so long, and longer each time that it has to leave again.
   */
  againMs: number
  /** Between two looks at how many partitions the topic has. */
  lookMs: number
  trouble: Trouble
  log: Logger
}

const PART = 'listening'
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 5_000
/** Every member that comes or goes costs all of them a rebalance; pictures wait so long once the ledger is back. */
const LONGEST_ABSENCE_MS = 15_000
/** After which a message that the dead topic refuses is left where it is: bells wait behind it. */
const MOVES = 3

/** Listens until `signal` is aborted and all calls have ended, as a member of the group over and over. */
export async function listen(options: ListenerOptions): Promise<void> {
  const { signal, trouble, againMs, log } = options
  const desk = createDesk(options)
  const instance = randomUUID()
  const trying = createBackoff({ firstMs: FIRST_PAUSE_MS, longestMs: LONGEST_PAUSE_MS, signal })
  const absence = createBackoff({ firstMs: againMs, longestMs: LONGEST_ABSENCE_MS, signal })
  while (!signal.aborted) {
    const joined = performance.now()
    try {
      const ending = await attend({ ...options, instance }, desk, () => {
        trouble.end(PART)
        trying.reset()
      })
      if (ending === 'ended' || signal.aborted) continue
      if (performance.now() - joined > LONGEST_ABSENCE_MS) absence.reset()
      const level = absence.isFresh ? 'warn' : 'debug'
      log[level]('no job can be looked up here: others may have its partitions of Kafka meanwhile')
      await absence.pause()
    } catch (error) {
      if (signal.aborted) break
      trouble.begin(PART, explainOutage(error))
      await trying.pause()
    }
  }
  await desk.finish()
}

/**
 * Is a member of the group until that fails, its topic has other partitions, `signal` is aborted, or two calls were
 * unheard and none was heard between them: one alone may be the fault of its job. It has `left` only in that last case.
 */
async function attend(
  { server, topology, instance, lookMs, signal }: MembershipOptions,
  desk: Desk,
  onReady: () => void,
): Promise<'left' | 'ended'> {
  const leaving = new AbortController()
  const over = AbortSignal.any([signal, leaving.signal])
  await using membership = await openMembership({
    ...{ server, topology, instance, lookMs },
    signal: over,
  })
  if (signal.aborted) return 'ended'
  onReady()
  let isDoubtful = false
  const weigh = (verdict: Verdict) => {
    if (verdict === 'unmoved' || verdict === 'refused') return // nobody was asked for a job
    if (verdict !== 'done' && isDoubtful) leaving.abort()
    isDoubtful = verdict !== 'done'
  }
  const take = () => {
    while (desk.hasRoom() && !over.aborted) {
      const taken = membership.next()
      if (!taken) return
      desk.receive(taken, membership.signal, weigh)
    }
  }
  using _taking = desk.whenThereIsRoom(take)
  await membership.until(take)
  // Only who is a member can say what was answered. Nothing new is taken, and nobody waits for a slot now.
  if (signal.aborted) await desk.finish()
  return leaving.signal.aborted ? 'left' : 'ended'
}

/** Where messages are dealt with, a bounded number at a time, over all memberships. */
interface Desk {
  hasRoom(): boolean
  /** Calls back whenever a place has become free. */
  whenThereIsRoom(take: () => void): Disposable
  receive(taken: Taken, over: AbortSignal, onVerdict: (verdict: Verdict) => void): void
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
    receive: ({ message, answered }, over, onVerdict) => {
      const call = deal(message, over, onVerdict).then((verdict) => {
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

/** Deals with a message until it is done, or somebody will be given it anew; says how each try went. Never rejects. */
function createDealer(options: ListenerOptions) {
  const { handler, dead, signal, againMs, log } = options
  const nameOf = ({ partition, offset }: KafkaMessage) => ({ partition, offset: String(offset) })
  const judge = createJudge<KafkaMessage>({
    handler,
    bodyOf: ({ value }) => value,
    nameOf,
    dead: dead.name,
    move: dead.move,
    isRefused: dead.isRefused,
    signal,
    log,
  })
  return async (
    message: KafkaMessage,
    over: AbortSignal,
    onVerdict: (verdict: Verdict) => void,
  ): Promise<Verdict> => {
    // While others are refused too, one try is enough: many may have come at once.
    for (let refusals = dead.isRefusing() ? MOVES - 1 : 0; ; ) {
      const verdict = await judge(message)
      onVerdict(verdict)
      if (verdict === 'done') return verdict
      if (verdict === 'refused' && ++refusals === MOVES) {
        log.error(
          nameOf(message),
          `a message that ${dead.name} does not take stays where it is, and is not read again`,
        )
        return 'done'
      }
      if (!over.aborted) await sleep(againMs, undefined, { signal: over }).catch(() => {})
      if (over.aborted) return verdict
    }
  }
}
