// Where the settings say that the queue is.

import { AMQP_PORT, AMQP_USER, type AmqpUrl } from './amqp-url.ts'
import { type CheckedTls, chooseTls } from './certificates.ts'
import { type Choice, choosePlace, type Notes, unusedWarnings } from './choice.ts'
import type { Resolved } from './resolve.ts'
import type { Values } from './settings.ts'
import type { Given } from './sources.ts'

export type QueueConfig =
  | { readonly kind: 'postgres' }
  | {
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

const places = {
  what: 'RabbitMQ',
  ways: [['QUEUE_URL'], ['RABBITMQ_URL'], ['RABBITMQ_HOST', 'RABBITMQ_PORT']],
} as const
const onlyForRabbitmq = ['RABBITMQ_CA_FILE', 'RABBITMQ_IMAGE_QUEUE', 'RABBITMQ_QUEUE_TYPE'] as const
const PARAMETERS = 'parameters of the URL of RabbitMQ have no effect'

/** Never throws. */
export function chooseQueue(resolved: Resolved, cwd: string): Choice<QueueConfig> {
  const { values } = resolved
  const notes: Notes = { mistakes: [], warnings: [] }
  const place = choosePlace(resolved, places, notes)
  if (!place) {
    const warnings = unusedWarnings(resolved, onlyForRabbitmq, 'no RABBITMQ_URL is set')
    return { config: { kind: 'postgres' }, derived: {}, mistakes: [], warnings }
  }
  const { isTls, hasParameters, ...address } = addressAt(place, values)
  if (hasParameters) notes.warnings.push(PARAMETERS)
  const tls = chooseTls('RABBITMQ_CA_FILE', resolved, { isTls, what: 'RabbitMQ', cwd, notes })
  const topology = { queue: values.RABBITMQ_IMAGE_QUEUE, type: values.RABBITMQ_QUEUE_TYPE }
  const config = { kind: 'rabbitmq', server: { ...address, tls }, topology } as const
  const isByHost = place.name === 'RABBITMQ_HOST' || place.name === 'RABBITMQ_PORT'
  const derived = { RABBITMQ_HOST: address.host, RABBITMQ_PORT: String(address.port) }
  return { config, derived: isByHost ? derived : {}, ...notes }
}

function addressAt({ name }: Given, values: Values): AmqpUrl {
  const url = name === 'QUEUE_URL' ? values.QUEUE_URL : values.RABBITMQ_URL
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
