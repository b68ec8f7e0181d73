// The settings that choose and reach the queue.

import { type AmqpUrl, amqpUrl } from './amqp-url.ts'
import { type KafkaBroker, kafkaBrokers } from './kafka-brokers.ts'
import type { SettingTable } from './setting.ts'
import { host, integer, isOneLine, oneOf, path, type ValueType } from './value-types.ts'

/** AMQP has 255 bytes for a name, and the one of the dead queue is longer. */
const queueName: ValueType<string> = {
  name: 'name',
  expects: 'a name of at most 200 bytes on one line that does not start with amq.',
  parse: (value) =>
    isOneLine(value) && !value.startsWith('amq.') && Buffer.byteLength(value) <= 200
      ? value
      : undefined,
}

interface QueueUrl {
  readonly amqp?: AmqpUrl
  readonly brokers?: readonly KafkaBroker[]
}

const queueUrl: ValueType<QueueUrl> = {
  name: 'URL',
  expects: `${amqpUrl.expects}; or kafka://host:port,host:port`,
  parse: (value) => {
    const brokers = /^kafka:/i.test(value) ? kafkaBrokers.parse(value) : undefined
    if (brokers) return { brokers }
    const amqp = amqpUrl.parse(value)
    return amqp && { amqp }
  },
}

export const queueSettings = {
  QUEUE_URL: {
    type: queueUrl,
    secret: 'url',
    description:
      'RabbitMQ as `RABBITMQ_URL` has it, or Kafka as `KAFKA_BROKERS` has it, with `kafka://` before.',
  },
  RABBITMQ_URL: {
    type: amqpUrl,
    secret: 'url',
    description:
      'RabbitMQ as `amqp://user:password@host:port/vhost`, or `amqps://…` with TLS. Without it, `RABBITMQ_HOST` and `KAFKA_BROKERS` the database itself wakes the workers.',
  },
  RABBITMQ_HOST: {
    type: host,
    derived: '`localhost`, once `RABBITMQ_PORT` is set',
    yaml: 'rabbitmq.host',
    description:
      "RabbitMQ's host, for a broker with the user and password `guest`; any other takes `RABBITMQ_URL`.",
  },
  RABBITMQ_PORT: {
    type: integer({ min: 1, max: 65_535 }),
    derived: '`5672`, once `RABBITMQ_HOST` is set',
    yaml: 'rabbitmq.port',
    description: "RabbitMQ's port, beside `RABBITMQ_HOST`.",
  },
  RABBITMQ_CA_FILE: {
    type: path,
    derived: 'the certificate authorities of Node.js',
    description:
      'With `amqps`: a file with the PEM certificates of the authorities to trust. Certificate and host name are always checked.',
  },
  RABBITMQ_IMAGE_QUEUE: {
    type: queueName,
    default: 'image_processing_queue',
    description:
      'The queue in RabbitMQ. What is dead lies in the queue of this name with `.dead` behind it.',
  },
  RABBITMQ_QUEUE_TYPE: {
    type: oneOf(['quorum', 'classic']),
    default: 'quorum',
    description:
      '`quorum` queues are replicated in a cluster, and dead-letter what nobody can receive. `classic` uses queues that are there already as they are, and makes plain ones where there are none.',
  },
} as const satisfies SettingTable
