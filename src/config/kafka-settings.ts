// The settings that reach Kafka, and name what is used there.

import { kafkaBrokers } from './kafka-brokers.ts'
import type { SettingTable } from './setting.ts'
import { boolean, integer, isOneLine, oneOf, path, text, type ValueType } from './value-types.ts'

/** Kafka has 249 characters for a name, and the one of the dead topic is longer. */
const topicName: ValueType<string> = {
  name: 'name',
  expects: 'a name of at most 200 letters, digits, dots, hyphens and underscores',
  parse: (value) =>
    /^[a-z0-9._-]{1,200}$/i.test(value) && !/^\.+$/.test(value) ? value : undefined,
}

const groupName: ValueType<string> = {
  name: 'name',
  expects: 'a name of at most 200 bytes on one line',
  parse: (value) => (isOneLine(value) && Buffer.byteLength(value) <= 200 ? value : undefined),
}

export const kafkaSettings = {
  KAFKA_BROKERS: {
    type: kafkaBrokers,
    description:
      'Kafka, as one or more of its brokers: `kafka1:9092,kafka2:9092`. The others are learned from them.',
  },
  KAFKA_IMAGE_TOPIC: {
    type: topicName,
    default: 'image-processing',
    description:
      'The topic in Kafka. What is dead lies in the topic of this name with `.dead` behind it.',
  },
  KAFKA_GROUP: {
    type: groupName,
    default: 'vitrine',
    description: 'The consumer group of all workers.',
  },
  KAFKA_PARTITIONS: {
    type: integer({ min: 1, max: 1_000 }),
    default: '12',
    description:
      'Partitions of topics that are made where there are none: as many workers can share the work. Topics that are there are used as they are.',
  },
  KAFKA_SASL_MECHANISM: {
    type: oneOf(['plain', 'scram-sha-256', 'scram-sha-512']),
    default: 'scram-sha-512',
    description: 'How user and password are shown to Kafka.',
  },
  KAFKA_SASL_USERNAME: {
    type: text,
    description: 'The user in Kafka. Without it nobody is named.',
  },
  KAFKA_SASL_PASSWORD: {
    type: text,
    secret: 'whole',
    description: "The user's password in Kafka.",
  },
  KAFKA_TLS: {
    type: boolean,
    default: 'false',
    description: 'Whether Kafka is reached with TLS. Certificate and host name are always checked.',
  },
  KAFKA_CA_FILE: {
    type: path,
    derived: 'the certificate authorities of Node.js',
    description: 'With `KAFKA_TLS`: a file with the PEM certificates of the authorities to trust.',
  },
} as const satisfies SettingTable
