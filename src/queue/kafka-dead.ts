// The topic for what is dead, as those see it who put something there: whether it was taken, what of it, and
// whether anything is taken lately.

import { isAppError } from '../errors.ts'
import type { ReasonHeaders } from './judge.ts'
import type { KafkaMessage } from './kafka-membership.ts'
import { type NewRecord, type Publisher, Refused } from './kafka-publisher.ts'

export interface DeadTopic {
  readonly name: string
  /** Resolves and throws as the publisher does. */
  put(records: readonly Omit<NewRecord, 'topic'>[]): Promise<void>
  /** Puts a message there that is no bell. What is too large leaves its place in the other topic. Throws as `put` does. */
  move(message: KafkaMessage, reason: ReasonHeaders): Promise<void>
  /** Whether what `move` has thrown will be thrown again: nothing is smaller than what it tries last. */
  isRefused(error: unknown): boolean
  /** Whether the last records were refused: lately, for others may have got them through since. */
  isRefusing(): boolean
}

/** Longer than who puts something there waits to try again. */
const LATELY_MS = 30_000

export function createDeadTopic(name: string, publisher: Publisher): DeadTopic {
  let refusedAt = Number.NEGATIVE_INFINITY
  const put: DeadTopic['put'] = async (records) => {
    try {
      await publisher.publish(records.map((record) => ({ ...record, topic: name })))
      refusedAt = Number.NEGATIVE_INFINITY
    } catch (error) {
      if (error instanceof Refused) refusedAt = performance.now()
      throw error
    }
  }
  return {
    name,
    put,
    move: async ({ key, value, headers, partition, offset }, reason) => {
      try {
        await put([{ key, value, headers: withReason(headers, reason) }])
      } catch (error) {
        if (!isAppError(error, 'too_large')) throw error
        const place = `It is too large to be moved, and was at offset ${offset} of partition ${partition}.`
        const detail = `${reason['vitrine-detail']} ${place}`
        await put([{ headers: withReason(new Map(), { ...reason, 'vitrine-detail': detail }) }])
      }
    },
    isRefused: (error) => error instanceof Refused || isAppError(error, 'too_large'),
    isRefusing: () => performance.now() - refusedAt < LATELY_MS,
  }
}

type Headers = KafkaMessage['headers']

function withReason(headers: Headers, reason: ReasonHeaders): Headers {
  const others = [...headers].filter(([name]) => !Object.hasOwn(reason, String(name)))
  const ours = Object.entries(reason).map((pair) => pair.map((text) => Buffer.from(text)))
  return new Map([...others, ...(ours as [Buffer, Buffer][])])
}
