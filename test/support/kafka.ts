// Kafka for tests: topics of one's own on the broker that TEST_KAFKA_BROKERS names, or a whole server to
// stop and to kill.

import { randomUUID } from 'node:crypto'
import { describe } from 'node:test'
import { Admin, Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka'
import { isKafkaInstalled } from '../../scripts/engines/kafka.ts'
import type { KafkaServer } from '../../src/queue/kafka-server.ts'
import type { Topology } from '../../src/queue/kafka-topology.ts'
import { skipUnlessRequired } from './required.ts'

export const kafkaBrokers = process.env.TEST_KAFKA_BROKERS || ''

/** Says why it is left out, and fails instead where it is required (CI). */
export function describeOnKafka(name: string, suite: () => void): void {
  const missing = kafkaBrokers === '' ? 'TEST_KAFKA_BROKERS is not set' : undefined
  describe(name, { skip: skipUnlessRequired('kafka', missing) }, suite)
}

/** For suites that start a server of their own. */
export function describeWithKafkaServer(name: string, suite: () => void): void {
  const missing = isKafkaInstalled() ? undefined : 'no Kafka was fetched'
  describe(name, { skip: skipUnlessRequired('kafka', missing) }, suite)
}

export function serverAt(address: string): KafkaServer {
  const [host = '', port = ''] = address.split(':')
  return { brokers: [{ host, port: Number(port) }], tls: false }
}

/** Names that nobody else uses. */
export function newTopology(partitions = 3): Topology {
  const id = randomUUID()
  return { topic: `vitrine-test-${id}`, group: `vitrine-test-${id}`, partitions }
}

export interface Broker extends AsyncDisposable {
  admin: Admin
  /** Publishes to a topic, and waits until the broker has it. */
  send(
    topic: string,
    value: Buffer | string | object | undefined,
    more?: SendOptions,
  ): Promise<void>
  /** Every record of a topic, in the order of their partitions. */
  records(topic: string): Promise<KeptRecord[]>
}

export interface SendOptions {
  key?: string
  headers?: Record<string, string>
  partition?: number
  compression?: 'gzip' | 'snappy' | 'lz4' | 'zstd'
}

export interface KeptRecord {
  key: string | undefined
  value: Buffer | undefined
  headers: Record<string, string>
}

/** A client as an operator's tools are. */
export async function connectBroker(address = kafkaBrokers): Promise<Broker> {
  const options = { clientId: 'tools', bootstrapBrokers: [address], retries: 3, retryDelay: 100 }
  const admin = new Admin(options)
  const producer = new Producer(options)
  return {
    admin,
    send: async (topic, value, { key, headers = {}, partition, compression } = {}) => {
      const bytes =
        typeof value === 'object' && !Buffer.isBuffer(value) ? JSON.stringify(value) : value
      const message = {
        topic,
        ...(bytes !== undefined && { value: Buffer.from(bytes) }),
        ...(key !== undefined && { key: Buffer.from(key) }),
        ...(partition !== undefined && { partition }),
        headers: new Map(
          Object.entries(headers).map(([name, text]) => [Buffer.from(name), Buffer.from(text)]),
        ),
      }
      await producer.send({ messages: [message], acks: -1, ...(compression && { compression }) })
    },
    records: (topic) => readAll(address, topic),
    [Symbol.asyncDispose]: async () => {
      await producer.close()
      await admin.close()
    },
  }
}

/** By a group of its own, up to what was there when it began. */
async function readAll(address: string, topic: string): Promise<KeptRecord[]> {
  const options = { clientId: 'tools', bootstrapBrokers: [address] }
  const consumer = new Consumer({ ...options, groupId: `tools-${randomUUID()}`, maxWaitTime: 100 })
  try {
    const ends = (await consumer.listOffsets({ topics: [topic], timestamp: -1n })).get(topic) ?? []
    const starts =
      (await consumer.listOffsets({ topics: [topic], timestamp: -2n })).get(topic) ?? []
    const count = ends.reduce((sum, end, partition) => sum + Number(end - starts[partition]!), 0)
    const records: KeptRecord[] = []
    if (count === 0) return records
    const mode = MessagesStreamModes.EARLIEST
    const stream = await consumer.consume({ topics: [topic], mode, autocommit: false })
    for await (const { key, value, headers } of stream) {
      const texts = [...headers].map(([name, text]) => [String(name), String(text)] as const)
      records.push({
        key: key ? String(key) : undefined,
        value: value ?? undefined,
        headers: Object.fromEntries(texts),
      })
      if (records.length === count) break
    }
    return records
  } finally {
    await consumer.close(true)
  }
}
