// Where the settings say that the queue is.

import { AMQP_PORT, AMQP_USER, type AmqpUrl } from './amqp-url.ts'
import { readCertificates } from './certificates.ts'
import { describe, type Resolved } from './resolve.ts'
import type { SettingName, Values } from './settings.ts'
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
        /** `ca` in PEM; without it the authorities of Node.js are trusted. */
        readonly tls: false | { readonly ca?: string }
      }
      readonly topology: { readonly queue: string; readonly type: Values['RABBITMQ_QUEUE_TYPE'] }
    }

export interface QueueChoice {
  /** To be used only when there are no mistakes, here and in the settings. */
  readonly config: QueueConfig
  readonly derived: Partial<Record<SettingName, string>>
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
}

/** Each says by itself where RabbitMQ is. */
const places = [['QUEUE_URL'], ['RABBITMQ_URL'], ['RABBITMQ_HOST', 'RABBITMQ_PORT']] as const
const onlyForRabbitmq = ['RABBITMQ_CA_FILE', 'RABBITMQ_IMAGE_QUEUE', 'RABBITMQ_QUEUE_TYPE'] as const
const PARAMETERS = 'parameters of the URL of RabbitMQ have no effect'

/** Never throws. */
export function chooseQueue(resolved: Resolved, cwd: string): QueueChoice {
  const { values, given } = resolved
  const mistakes: string[] = []
  const warnings: string[] = []
  const place = choosePlace(resolved, mistakes, warnings)
  if (!place) {
    const unused = onlyForRabbitmq.flatMap((name) => given.get(name) ?? [])
    warnings.push(
      ...unused.map((setting) => `${describe(setting)} has no effect: no RABBITMQ_URL is set`),
    )
    return { config: { kind: 'postgres' }, derived: {}, mistakes, warnings }
  }
  const { isTls, hasParameters, ...address } = addressAt(place, values)
  if (hasParameters) warnings.push(PARAMETERS)
  const tls = isTls && { ...authorities(values.RABBITMQ_CA_FILE, { cwd, mistakes }) }
  const file = given.get('RABBITMQ_CA_FILE')
  if (file && !isTls)
    warnings.push(`${describe(file)} has no effect, because RabbitMQ is reached without TLS`)
  const topology = { queue: values.RABBITMQ_IMAGE_QUEUE, type: values.RABBITMQ_QUEUE_TYPE }
  const config = { kind: 'rabbitmq', server: { ...address, tls }, topology } as const
  const isByHost = place.name === 'RABBITMQ_HOST' || place.name === 'RABBITMQ_PORT'
  const derived = { RABBITMQ_HOST: address.host, RABBITMQ_PORT: String(address.port) }
  return { config, derived: isByHost ? derived : {}, mistakes, warnings }
}

/** Of several ways to say where RabbitMQ is, the one from the strongest source counts. */
function choosePlace(
  { given }: Resolved,
  mistakes: string[],
  warnings: string[],
): Given | undefined {
  const [used, ...others] = places
    .flatMap((names) => names.flatMap((name) => given.get(name) ?? []).sort(byRank)[0] ?? [])
    .sort(byRank)
  for (const other of others) {
    if (used?.rank === other.rank)
      mistakes.push(
        `${describe(used)} and ${describe(other)} both say where RabbitMQ is: keep one of them`,
      )
    else if (used)
      warnings.push(`${describe(other)} has no effect: ${describe(used)} says where RabbitMQ is`)
  }
  return used
}

function byRank(a: Given, b: Given): number {
  return a.rank - b.rank
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

function authorities(
  file: string | undefined,
  { cwd, mistakes }: { cwd: string; mistakes: string[] },
): { ca?: string } {
  return file === undefined
    ? {}
    : { ca: readCertificates('RABBITMQ_CA_FILE', file, { cwd, mistakes }) }
}
