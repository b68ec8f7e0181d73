// What the settings say of Kafka, once it is the queue.

import { type CheckedTls, chooseTls } from './certificates.ts'
import type { Notes } from './choice.ts'
import type { KafkaBroker } from './kafka-brokers.ts'
import { describe, type Resolved } from './resolve.ts'

export interface KafkaConfig {
  readonly kind: 'kafka'
  readonly server: {
    readonly brokers: readonly KafkaBroker[]
    readonly sasl?: {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
      readonly username: string
      readonly password: string
    }
    readonly tls: false | CheckedTls
  }
  readonly topology: {
    readonly topic: string
    readonly group: string
    readonly partitions: number
  }
}

const mechanisms = {
  plain: 'PLAIN',
  'scram-sha-256': 'SCRAM-SHA-256',
  'scram-sha-512': 'SCRAM-SHA-512',
} as const

/** To be used only when it adds no mistakes. */
export function kafkaOf(
  brokers: readonly KafkaBroker[],
  resolved: Resolved,
  { cwd, notes }: { cwd: string; notes: Notes },
): KafkaConfig {
  const { values } = resolved
  const sasl = saslOf(resolved, notes)
  const tls = chooseTls('KAFKA_CA_FILE', resolved, {
    isTls: values.KAFKA_TLS,
    what: 'Kafka',
    cwd,
    notes,
  })
  return {
    kind: 'kafka',
    server: { brokers, ...(sasl && { sasl }), tls },
    topology: {
      topic: values.KAFKA_IMAGE_TOPIC,
      group: values.KAFKA_GROUP,
      partitions: values.KAFKA_PARTITIONS,
    },
  }
}

function saslOf({ values, given }: Resolved, { mistakes, warnings }: Notes) {
  const { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = values
  if (username !== undefined && password !== undefined)
    return { mechanism: mechanisms[values.KAFKA_SASL_MECHANISM], username, password }
  const [user, secret] = [given.get('KAFKA_SASL_USERNAME'), given.get('KAFKA_SASL_PASSWORD')]
  if (user) mistakes.push(`${describe(user)} needs KAFKA_SASL_PASSWORD beside it`)
  if (secret) mistakes.push(`${describe(secret)} needs KAFKA_SASL_USERNAME beside it`)
  const mechanism = given.get('KAFKA_SASL_MECHANISM')
  if (mechanism)
    warnings.push(`${describe(mechanism)} has no effect: no KAFKA_SASL_USERNAME is set`)
  return undefined
}
