// Where the settings say that the queue is.

import { isDeepStrictEqual } from 'node:util'
import { AMQP_PORT, AMQP_USER, type AmqpUrl } from './amqp-url.ts'
import { type CheckedTls, chooseTls } from './certificates.ts'
import { type Choice, choosePlace, type Notes, type Places, unusedWarnings } from './choice.ts'
import type { KafkaBroker } from './kafka-brokers.ts'
import { type KafkaConfig, kafkaOf } from './kafka-config.ts'
import type { Resolved } from './resolve.ts'
import type { Values } from './settings.ts'
import type { Given } from './sources.ts'

interface RabbitmqConfig {
  readonly kind: 'rabbitmq'
  readonly server: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
    readonly vhost: string
    readonly tls: false | CheckedTls
  }
  readonly topology: { readonly queue: string; readonly type: Values['RABBITMQ_QUEUE_TYPE'] }
}

export type QueueConfig = { readonly kind: 'postgres' } | RabbitmqConfig | KafkaConfig

const ways = [
  ['QUEUE_URL'],
  ['RABBITMQ_URL'],
  ['RABBITMQ_HOST', 'RABBITMQ_PORT'],
  ['KAFKA_BROKERS'],
] as const
const onlyForRabbitmq = ['RABBITMQ_CA_FILE', 'RABBITMQ_IMAGE_QUEUE', 'RABBITMQ_QUEUE_TYPE'] as const
const onlyForKafka = [
  'KAFKA_IMAGE_TOPIC',
  'KAFKA_GROUP',
  'KAFKA_PARTITIONS',
  'KAFKA_SASL_MECHANISM',
  'KAFKA_SASL_USERNAME',
  'KAFKA_SASL_PASSWORD',
  'KAFKA_TLS',
  'KAFKA_CA_FILE',
] as const
const PARAMETERS = 'parameters of the URL of RabbitMQ have no effect'

/** Never throws. */
export function chooseQueue(resolved: Resolved, cwd: string): Choice<QueueConfig> {
  const notes: Notes = { mistakes: [], warnings: [] }
  const place = choosePlace(resolved, placesOf(resolved.values), notes)
  const brokers = place && brokersAt(place, resolved.values)
  if (place === undefined || brokers)
    notes.warnings.push(...unusedWarnings(resolved, onlyForRabbitmq, 'RabbitMQ is not the queue'))
  if (!brokers)
    notes.warnings.push(...unusedWarnings(resolved, onlyForKafka, 'Kafka is not the queue'))
  if (brokers) return { config: kafkaOf(brokers, resolved, { cwd, notes }), derived: {}, ...notes }
  if (!place) return { config: { kind: 'postgres' }, derived: {}, ...notes }
  const config = rabbitmqAt(place, resolved, { cwd, notes })
  const { host, port } = config.server
  const isByHost = place.name === 'RABBITMQ_HOST' || place.name === 'RABBITMQ_PORT'
  const derived = { RABBITMQ_HOST: host, RABBITMQ_PORT: String(port) }
  return { config, derived: isByHost ? derived : {}, ...notes }
}

function placesOf(values: Values): Places {
  const at = (place: Given) => brokersAt(place, values) ?? addressAt(place, values)
  return { what: 'the queue', ways, isSame: (a, b) => isDeepStrictEqual(at(a), at(b)) }
}

/** Undefined where it is not Kafka. A name of Kafka without a right value is a mistake already. */
function brokersAt({ name }: Given, values: Values): readonly KafkaBroker[] | undefined {
  if (name === 'KAFKA_BROKERS') return values.KAFKA_BROKERS ?? []
  return name === 'QUEUE_URL' ? values.QUEUE_URL?.brokers : undefined
}

function rabbitmqAt(
  place: Given,
  resolved: Resolved,
  { cwd, notes }: { cwd: string; notes: Notes },
): RabbitmqConfig {
  const { values } = resolved
  const { isTls, hasParameters, ...address } = addressAt(place, values)
  if (hasParameters) notes.warnings.push(PARAMETERS)
  const tls = chooseTls('RABBITMQ_CA_FILE', resolved, { isTls, what: 'RabbitMQ', cwd, notes })
  const topology = { queue: values.RABBITMQ_IMAGE_QUEUE, type: values.RABBITMQ_QUEUE_TYPE }
  return { kind: 'rabbitmq', server: { ...address, tls }, topology }
}

function addressAt({ name }: Given, values: Values): AmqpUrl {
  const url = name === 'QUEUE_URL' ? values.QUEUE_URL?.amqp : values.RABBITMQ_URL
  if (url && (name === 'QUEUE_URL' || name === 'RABBITMQ_URL')) return url
  return {
    isTls: false,
    host: values.RABBITMQ_HOST ?? 'localhost',
    port: values.RABBITMQ_PORT ?? AMQP_PORT,
    user: AMQP_USER,
    password: AMQP_USER,
    vhost: '/',
    hasParameters: false,
  }
}
