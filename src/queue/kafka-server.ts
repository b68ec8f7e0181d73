// How Kafka is reached, and what its refusals mean.

import type { Admin, BaseOptions, Consumer, Producer } from '@platformatic/kafka'
import { AppError } from '../errors.ts'
import { settlesWithin } from '../lib/deadline.ts'

export interface KafkaServer {
  /** Those that are asked for all others. */
  brokers: readonly { readonly host: string; readonly port: number }[]
  sasl?: {
    mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
    username: string
    password: string
  }
  /** `ca` in PEM; without it the authorities of Node.js are trusted. */
  tls: false | { ca?: string }
}

const CONNECT_MS = 5_000
/** Well over what a broker takes that answers at all. */
const REQUEST_MS = 10_000
/** For the goodbyes. A broker that does not answer them is left without. */
const CLOSING_MS = 2_000

/** Resolves when the client is closed, or left behind; never rejects. */
export async function close(client: Admin | Producer | Consumer): Promise<void> {
  // A consumer leaves its group only when it is told to do so in spite of its streams.
  const closed = 'groupId' in client ? client.close(true) : client.close()
  await settlesWithin(
    closed.catch(() => {}),
    CLOSING_MS,
  )
}

/** `Kafka at kafka1:9092, kafka2:9092, user "app"`. */
export function describeServer({ brokers, sasl }: KafkaServer): string {
  const addresses = brokers.map(({ host, port }) => `${host}:${port}`).join(', ')
  return `Kafka at ${addresses}${sasl ? `, user "${sasl.username}"` : ''}`
}

/**
 * For each client of the library. It tries again what a leader that has moved explains; what lasts longer is
 * for those who use it, who say so.
 */
export function clientOptions(server: KafkaServer, name: string): BaseOptions {
  const { brokers, sasl, tls } = server
  return {
    clientId: `vitrine-${name}`,
    bootstrapBrokers: [...brokers],
    connectTimeout: CONNECT_MS,
    requestTimeout: REQUEST_MS,
    retries: 2,
    retryDelay: 100,
    ...(sasl && { sasl }),
    ...(tls && { tls: { ...tls } }),
  }
}

/** Of the member that the library's errors have, `apiId` or `code`: whether any of them has this value. */
export function hasMember(error: unknown, name: string, value: unknown): boolean {
  return leavesOf(error).some(
    (leaf) => (leaf as unknown as Record<string, unknown>)[name] === value,
  )
}

/**
 * What went wrong, in one error with nothing but its text: the library's own hold whole answers of the broker,
 * options and numbers that no log can write.
 */
export function plain(error: unknown): Error {
  if (error instanceof AppError) return error
  const texts = new Set(leavesOf(error).map(({ message }) => message.replace(/\.$/, '')))
  return new Error([...texts].join('; '))
}

/** The innermost reasons of an error, each with those around it left out. */
function leavesOf(error: unknown): Error[] {
  if (!(error instanceof Error)) return [new Error(String(error))]
  const inner: unknown[] = error instanceof AggregateError ? error.errors : []
  const causes = error.cause === undefined ? inner : [...inner, error.cause]
  if (causes.length === 0) return [error]
  return causes.flatMap(leavesOf)
}

export function unavailable(error: unknown, what = 'The queue does not answer.'): AppError {
  return error instanceof AppError
    ? error
    : new AppError('unavailable', what, { cause: plain(error) })
}

/** By the name of the refusal, of TLS, or the library's words: what stays the same until somebody corrects something. */
const advice: readonly [RegExp, string][] = [
  [
    /^(SASL_AUTHENTICATION_FAILED|UNSUPPORTED_SASL_MECHANISM|ILLEGAL_SASL_STATE)$/,
    'check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD',
  ],
  [/^Broker requires TLS/, 'set KAFKA_TLS=true'],
  [
    /^(EPROTO|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/,
    'check KAFKA_CA_FILE and the certificate of the brokers, or the port: not every listener of Kafka speaks TLS',
  ],
]

/** An Error that says what to correct, for what no waiting mends; else undefined. */
export function explainRefusal(error: unknown, server: KafkaServer): Error | undefined {
  if (error instanceof AppError) return error
  const { message } = plain(error)
  for (const leaf of leavesOf(error)) {
    const [, hint] = advice.find(([pattern]) => pattern.test(nameOf(leaf))) ?? []
    if (hint !== undefined)
      return new Error(`${describeServer(server)} refused: ${message}; ${hint}`)
  }
  return undefined
}

/** Of the library and of TLS: somebody was there, and said nothing more. */
const HUNG_UP = /^(Connection closed|Client network socket disconnected)/

/**
 * What goes wrong until it does not any more, in one error as `plain` makes it. A broker hangs up without a word on
 * who speaks to a listener of another kind, and when it stops, so it says what to check as well.
 */
export function explainOutage(error: unknown): Error {
  const said = plain(error)
  if (!leavesOf(error).every(({ message }) => HUNG_UP.test(message))) return said
  return new Error(
    `${said.message}; if that lasts, check the port in KAFKA_BROKERS, KAFKA_TLS and KAFKA_SASL_USERNAME: somebody is there and hangs up`,
  )
}

function nameOf(leaf: Error): string {
  const { apiId, code, message } = leaf as Error & { apiId?: unknown; code?: unknown }
  return String(apiId ?? (code === 'PLT_KFK_USER' ? message : code))
}
