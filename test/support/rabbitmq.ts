// RabbitMQ for tests: queues of one's own on the server that TEST_RABBITMQ_URL names, or a whole server
// to stop and to kill.

import { randomUUID } from 'node:crypto'
import { describe } from 'node:test'
import { Connection, type ConnectionOptions } from 'rabbitmq-client'
import { isRabbitmqInstalled } from '../../scripts/engines/rabbitmq.ts'
import type { RabbitmqServer } from '../../src/queue/rabbitmq-server.ts'
import { skipUnlessRequired } from './required.ts'

export const rabbitmqUrl = process.env.TEST_RABBITMQ_URL || ''

/** Says why it is left out, and fails instead where it is required (CI). */
export function describeOnRabbitmq(name: string, suite: () => void): void {
  const missing = rabbitmqUrl === '' ? 'TEST_RABBITMQ_URL is not set' : undefined
  describe(name, { skip: skipUnlessRequired('rabbitmq', missing) }, suite)
}

/** For suites that start a server of their own. */
export function describeWithRabbitmqServer(name: string, suite: () => void): void {
  const missing = isRabbitmqInstalled ? undefined : 'no RabbitMQ server is installed'
  describe(name, { skip: skipUnlessRequired('rabbitmq', missing) }, suite)
}

export function serverAt(url: string): RabbitmqServer {
  const { hostname: host, port, username, password, pathname } = new URL(url)
  return {
    host,
    port: Number(port || 5672),
    user: decodeURIComponent(username) || 'guest',
    password: decodeURIComponent(password) || 'guest',
    vhost: decodeURIComponent(pathname.slice(1)) || '/',
    tls: false,
  }
}

export interface Broker extends AsyncDisposable {
  connection: Connection
  /** A name nobody else uses; what is declared under it is deleted in the end. */
  queue(): string
  /** Publishes to a queue, and waits until the broker has it. */
  send(queue: string, body: unknown, envelope?: object): Promise<void>
  /** Takes the oldest message out of a queue. */
  take(queue: string): Promise<Taken | undefined>
}

export interface Taken {
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  body: any
  headers: Record<string, unknown>
}

/** A client as an operator's tools are. What comes before the body of a message has to fit into `frameMax` bytes. */
export async function connectBroker(
  url = rabbitmqUrl,
  options: Pick<ConnectionOptions, 'frameMax'> = {},
): Promise<Broker> {
  const connection = new Connection({ url, retryLow: 200, retryHigh: 500, ...options })
  connection.on('error', () => {})
  await connection.onConnect(30_000)
  const publisher = connection.createPublisher({ confirm: true })
  const names: string[] = []
  return {
    connection,
    queue: () => {
      const name = `vitrine-test-${randomUUID()}`
      names.push(name)
      return name
    },
    send: (queue, body, envelope = {}) =>
      publisher.send({ routingKey: queue, durable: true, ...envelope }, body),
    take: async (queue) => {
      const message = await connection.basicGet({ queue, noAck: true })
      return message && { body: message.body, headers: message.headers ?? {} }
    },
    [Symbol.asyncDispose]: async () => {
      for (const name of names) {
        for (const queue of [name, `${name}.dead`]) await connection.queueDelete({ queue })
        await connection.exchangeDelete({ exchange: `${name}.dead` })
      }
      await publisher.close()
      await connection.close()
    },
  }
}
