// What has to be there in Kafka: the topic, and beside it `<topic>.dead`. They are looked for at every new
// beginning, and made where they are missing and may be made; what is there is used as it is.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from '@platformatic/kafka'
import { AppError } from '../errors.ts'
import { hasMember, plain } from './kafka-server.ts'

export interface Topology {
  topic: string
  /** The consumer group of all who listen. */
  group: string
  /** Of topics that are made. */
  partitions: number
}

/** Until a topic that was made a moment ago is known to all brokers. */
const TRIES = 20
const PAUSE_MS = 100

/** Name of the topic for what is dead. */
export function deadOf({ topic }: Topology): string {
  return `${topic}.dead`
}

/** Throws `unavailable` with what to do about topics that may not be made, and what the library throws. */
export async function declare(admin: Admin, topology: Topology): Promise<void> {
  await makeUnlessThere(admin, topology, { name: topology.topic })
  // What no operator has looked at does not go by itself.
  const configs = [{ name: 'retention.ms', value: '-1' }]
  await makeUnlessThere(admin, topology, { name: deadOf(topology), configs })
}

interface NewTopic {
  name: string
  configs?: NonNullable<Parameters<Admin['createTopics']>[0]['configs']>
}

async function makeUnlessThere(
  admin: Admin,
  topology: Topology,
  { name, configs = [] }: NewTopic,
): Promise<void> {
  if (await isThere(admin, name)) return
  try {
    await admin.createTopics({ topics: [name], partitions: topology.partitions, configs })
  } catch (error) {
    // Somebody else was faster.
    if (!hasMember(error, 'apiId', 'TOPIC_ALREADY_EXISTS')) throw explain(error, topology)
  }
  for (let tried = 1; tried < TRIES && !(await isThere(admin, name)); tried++) await sleep(PAUSE_MS)
}

function explain(error: unknown, topology: Topology): unknown {
  if (hasMember(error, 'canRetry', true)) return error
  const names = `"${topology.topic}" and "${deadOf(topology)}"`
  return new AppError(
    'unavailable',
    `Kafka has not both of the topics ${names}, and does not let them be made (${plain(error).message}): create them, or let the user do it, or name others with KAFKA_IMAGE_TOPIC`,
    { cause: plain(error) },
  )
}

async function isThere(admin: Admin, topic: string): Promise<boolean> {
  try {
    await admin.metadata({ topics: [topic], forceUpdate: true, retries: 0 })
    return true
  } catch (error) {
    if (plain(error).message === `Unknown topic ${topic}`) return false
    throw error
  }
}
