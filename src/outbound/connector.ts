// Opens connections for the HTTP client: name to addresses, each judged, then TCP, then TLS, under one
// deadline. Nothing is ever connected to that was not judged in the same call, so an answer of DNS that
// changes between check and use (rebinding) has nothing to change.

import { once } from 'node:events'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { buildConnector } from 'undici'
import { isAppError } from '../errors.ts'
import { orAborted } from '../lib/deadline.ts'
import type { AddressPolicy } from './address-policy.ts'
import { connectFailure, dnsFailure, notPublic, tlsFailure } from './failures.ts'
import type { Lookup } from './resolver.ts'

export interface ConnectorOptions {
  policy: AddressPolicy
  lookup: Lookup
  /** For name, TCP and TLS together. */
  connectTimeoutMs: number
  /** Ends every connection that is being opened. */
  closing: AbortSignal
}

/** How long an address is waited for before the next one is tried beside it (RFC 8305). */
const NEXT_ADDRESS_MS = 250

/** A name with a thousand addresses must not turn us into its scanner. */
const MAX_ADDRESSES = 6

interface Target {
  host: string
  port: number
}

/** A connector for undici. It fails with AppErrors. */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  return ({ hostname, protocol, port }, callback) => {
    const secure = protocol === 'https:'
    const target = {
      host: hostname.replace(/\.$/, ''),
      port: port === '' ? (secure ? 443 : 80) : Number(port),
    }
    open(target, secure, options).then(
      (socket) => callback(null, socket),
      (error) => callback(error, null),
    )
  }
}

async function open(target: Target, secure: boolean, options: ConnectorOptions): Promise<Socket> {
  const deadline = AbortSignal.timeout(options.connectTimeoutMs)
  const signal = AbortSignal.any([options.closing, deadline])
  const addresses = await judgedAddresses(target.host, options, signal)
  const socket = await connectToAny(addresses, target, { policy: options.policy, signal })
  return secure ? await encrypt(socket, target, signal) : socket
}

/** The addresses of a host that may be connected to, IPv6 and IPv4 by turns. */
async function judgedAddresses(
  host: string,
  { policy, lookup }: ConnectorOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const found = isIP(host) === 0 ? await resolve(host, lookup, signal) : [host]
  const allowed = found.filter((address) => policy.refusalOf(address) === undefined)
  if (allowed.length === 0) throw notPublic(host, found)
  return interleave(allowed).slice(0, MAX_ADDRESSES)
}

async function resolve(
  host: string,
  lookup: Lookup,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return await orAborted(lookup(host, { signal }), signal)
  } catch (error) {
    throw dnsFailure(host, error)
  }
}

/**
 * The first connection that stands, the others ended. The next address is tried when one failed or has
 * taken long, as a host with a broken route for one family would otherwise cost the whole deadline.
 */
async function connectToAny(
  addresses: readonly string[],
  target: Target,
  { policy, signal }: { policy: AddressPolicy; signal: AbortSignal },
): Promise<Socket> {
  const won = new AbortController()
  const racing = AbortSignal.any([signal, won.signal])
  let turn: Promise<unknown> = Promise.resolve()
  const attempts = addresses.map((address) => {
    const attempt = turn.then(async () => {
      const socket = await connectTo(address, target, { policy, signal: racing })
      won.abort()
      return socket
    })
    turn = Promise.race([
      attempt,
      turn.then(() => delay(NEXT_ADDRESS_MS, undefined, { signal: racing })),
    ]).catch(() => {})
    return attempt
  })
  try {
    return await Promise.any(attempts)
  } catch (error) {
    throw worstOf(target.host, error, signal)
  }
}

async function connectTo(
  address: string,
  { host, port }: Target,
  { policy, signal }: { policy: AddressPolicy; signal: AbortSignal },
): Promise<Socket> {
  signal.throwIfAborted()
  const socket = connectTcp({ host: address, port, noDelay: true, autoSelectFamily: false })
  await established(socket, 'connect', signal)
  // What the kernel says it connected to, as the last word: `0.0.0.0` for one ends at loopback.
  const remote = socket.remoteAddress ?? ''
  if (policy.refusalOf(remote) === undefined) return socket
  socket.destroy()
  throw remote === '' ? connectFailure(host, { code: 'ECONNRESET' }) : notPublic(host, [remote])
}

async function encrypt(socket: Socket, { host }: Target, signal: AbortSignal): Promise<TLSSocket> {
  const secured = connectTls({
    socket,
    // The certificate is checked against `servername`, or against `host` where that is an address, for
    // which there is no server name (RFC 6066).
    host,
    servername: isIP(host) === 0 ? host : '',
    ALPNProtocols: ['http/1.1'],
    // Said aloud, as NODE_TLS_REJECT_UNAUTHORIZED=0 changes the default.
    rejectUnauthorized: true,
  })
  try {
    await established(secured, 'secureConnect', signal)
    return secured
  } catch (error) {
    throw tlsFailure(host, error)
  }
}

/** Resolves on the event; on an error or the signal the socket is destroyed. */
async function established(socket: Socket, event: string, signal: AbortSignal): Promise<void> {
  // Stays for life: between two owners of the socket an error must not be an uncaught exception.
  socket.on('error', () => {})
  try {
    await once(socket, event, { signal })
  } catch (error) {
    socket.destroy()
    throw signal.aborted ? signal.reason : error
  }
}

/** Of several failed addresses the one failure to report. */
function worstOf(host: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return connectFailure(host, signal.reason)
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  return errors.find((one) => isAppError(one)) ?? connectFailure(host, errors[0])
}

function interleave(addresses: readonly string[]): string[] {
  const six = addresses.filter((address) => isIP(address) === 6)
  const four = addresses.filter((address) => isIP(address) === 4)
  const longer = six.length > four.length ? six : four
  return longer.flatMap((_, n) => [...six.slice(n, n + 1), ...four.slice(n, n + 1)])
}
