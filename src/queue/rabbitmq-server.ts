// A connection to RabbitMQ that comes back by itself.

import { Connection, type ConnectionOptions } from 'rabbitmq-client'
import { AppError } from '../errors.ts'
import { settlesWithin } from '../lib/deadline.ts'
import type { Trouble } from './trouble.ts'

export interface RabbitmqServer {
  host: string
  port: number
  user: string
  password: string
  vhost: string
  /** `ca` in PEM; without it the authorities of Node.js are trusted. */
  tls: false | { ca?: string }
}

/** Between tries to connect: half a second at first, up to this. */
const LONGEST_RETRY_MS = 5_000
const CONNECT_MS = 5_000
/** How long somebody waits for a connection that is not there. */
const PATIENCE_MS = 5_000
/** A server that falls silent is noticed after twice this. */
const HEARTBEAT_S = 10
/** For the goodbyes. A server that does not answer them is left without. */
export const CLOSING_MS = 2_000

/** `RabbitMQ at mq.example:5672, vhost "/", user "app"`. */
export function describeServer({ host, port, vhost, user }: RabbitmqServer): string {
  return `RabbitMQ at ${host}:${port}, vhost "${vhost}", user "${user}"`
}

/** Connects in the background, and again whenever it is lost. `name` tells it apart in the lists of the broker. */
export function connectTo(server: RabbitmqServer, name: string): Connection {
  const { host, port, user, password, vhost, tls } = server
  const options: ConnectionOptions = {
    hostname: host,
    port,
    username: user,
    password,
    vhost,
    tls: tls === false ? false : { ...tls },
    connectionName: `vitrine ${name}`,
    connectionTimeout: CONNECT_MS,
    acquireTimeout: PATIENCE_MS,
    heartbeat: HEARTBEAT_S,
    retryLow: 500,
    retryHigh: LONGEST_RETRY_MS,
  }
  return new Connection(options)
}

/** Waits a moment for what is under way, then breaks off. Never rejects. */
export async function close(connection: Connection): Promise<void> {
  await settlesWithin(
    connection.close().catch(() => {}),
    CLOSING_MS,
  )
  connection.unsafeDestroy()
}

/** Of a connection as a whole; what only a channel meets is told by who uses the channel. */
export function watch(connection: Connection, part: string, trouble: Trouble): void {
  connection.on('error', (error) => trouble.begin(part, error))
  connection.on('connection', () => trouble.end(part))
  connection.on('connection.blocked', (reason) =>
    trouble.begin(part, new Error(`it takes no messages: ${reason}`)),
  )
  connection.on('connection.unblocked', () => trouble.end(part))
}

/** By the code of the answer, or of TLS: what stays the same until somebody corrects something. */
const advice: readonly [RegExp, string][] = [
  [/^ACCESS_REFUSED$/, 'check user and password, and the rights of the user'],
  [/^NOT_ALLOWED$/, 'create the vhost, or check its name and that the user may use it'],
  [
    /^(EPROTO|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/,
    'check RABBITMQ_CA_FILE and the certificate of the server, or the port: without TLS it is amqp',
  ],
]

/** An Error that says what to correct, for what no waiting mends; else undefined. */
export function explainRefusal(error: unknown, server: RabbitmqServer): Error | undefined {
  const code = codeOf(error)
  const [, hint] = advice.find(([pattern]) => pattern.test(code)) ?? []
  if (hint === undefined) return undefined
  return new Error(`${describeServer(server)} refused: ${textOf(error)}; ${hint}`, { cause: error })
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

export function unavailable(error: unknown, what = 'The queue does not answer.'): AppError {
  return error instanceof AppError ? error : new AppError('unavailable', what, { cause: error })
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
