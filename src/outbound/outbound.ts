// The only way out of Vitrine to hosts that its users name. GET only, no cookies, no credentials, no
// proxy variables; every hop of a redirect is judged like the first URL, every connection by its address.

import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import type { Client } from 'undici'
import { AppError } from '../errors.ts'
import type { Wait } from '../lib/allowance.ts'
import { type AddressPolicy, hostOf } from './address-policy.ts'
import { createConnector } from './connector.ts'
import type { Answer } from './exchange.ts'
import { bodyFailure, requestFailure, statusFailure } from './failures.ts'
import { createPlaces, type Place } from './places.ts'
import { createResolver, type Lookup } from './resolver.ts'

export interface OutboundOptions {
  policy: AddressPolicy
  /** Of Vitrine, for the User-Agent. */
  version: string
  /** Requests to one origin at a time, from the first byte to the last; further ones wait. */
  perOrigin: number
  /** For name, TCP and TLS of one connection together. */
  connectTimeoutMs: number
  maxRedirects: number
  /** The longest wait for an answer's headers, and between two pieces of its body; 10 s unless given. */
  idleTimeoutMs?: number
  /** How names become addresses; the system's name servers unless given. */
  lookup?: Lookup
}

/** An answer of 200 whose body is still to be read. It has its place at the origin until it is disposed of, which ends a transfer that is not over. */
export interface OutboundResponse extends Disposable {
  status: number
  headers: IncomingHttpHeaders
  /** To be read once: each time what has come since. Throws `download_truncated`, `download_timeout`, or the signal's reason. */
  body: AsyncIterable<readonly Uint8Array[]>
  /** False where the body simply ends with its connection: nobody can tell then whether it is whole. */
  isEndAnnounced: boolean
}

export interface Outbound extends AsyncDisposable {
  /**
   * Fetches a URL, through redirects. The signal covers the body too; an abort rejects with its reason.
   * `wait` is given the wait for a place at an origin.
   * Throws `url_not_allowed dns_failed connect_failed tls_failed origin_* too_many_redirects
   * download_timeout`, with the status where there was one.
   */
  get(url: string, options: { signal: AbortSignal; wait?: Wait }): Promise<OutboundResponse>
}

/** Shorter than what servers keep, so that a request rarely meets a connection that is just closing. */
const KEEP_ALIVE_MS = 4_000
const MAX_KEEP_ALIVE_MS = 10_000

const MAX_HEADER_BYTES = 16 * 1_024

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** 203 is a 200 from an intermediary. Anything else with a body is not the file: a part, a receipt, a choice. */
const FILES = new Set([200, 203])

/** Closing it ends what is under way. */
export function openOutbound(options: OutboundOptions): Outbound {
  const { policy, maxRedirects, perOrigin } = options
  const closing = new AbortController()
  const places = createPlaces(perOrigin, clientOptions(options, closing.signal))
  const headers = {
    'user-agent': `Vitrine/${options.version} (product pictures)`,
    accept: 'image/*, */*;q=0.5',
    // Pictures are compressed already. An encoded body would have to be unpacked by us, bombs included.
    'accept-encoding': 'identity',
  }

  const get: Outbound['get'] = async (first, { signal, wait = (turn) => turn }) => {
    let url = allowed(first, policy)
    for (let redirects = 0; ; redirects += 1) {
      signal.throwIfAborted()
      const place = await places.take(url.origin, { signal, wait })
      const answer = await send(url, place, signal)
      const location = locationOf(answer)
      if (location === undefined) return fileOf(answer, { url, place, signal })
      discard(answer, place)
      if (redirects === maxRedirects) throw tooManyRedirects(first, maxRedirects, answer)
      url = redirected(location, url, { policy, status: answer.status })
    }
  }

  async function send(url: URL, place: Place, signal: AbortSignal): Promise<Answer> {
    try {
      return await place.request({ path: url.pathname + url.search, headers, signal })
    } catch (error) {
      place.leave({ isClean: false })
      throw signal.aborted ? signal.reason : requestFailure(hostOf(url), error)
    }
  }

  return {
    get,
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await places[Symbol.asyncDispose]()
    },
  }
}

function clientOptions(
  { policy, lookup = createResolver(), connectTimeoutMs, idleTimeoutMs = 10_000 }: OutboundOptions,
  closing: AbortSignal,
): Client.Options {
  return {
    connect: createConnector({ policy, lookup, connectTimeoutMs, closing }),
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    maxHeaderSize: MAX_HEADER_BYTES,
  }
}

function allowed(text: string, policy: AddressPolicy): URL {
  const refusal = policy.checkUrl(text)
  if (refusal) throw new AppError('url_not_allowed', `The URL ${refusal.detail}.`)
  return new URL(text)
}

/** Where a redirect leads; undefined when the answer is none. */
function locationOf({ status, headers }: Answer): string | undefined {
  const location = headers.location
  return REDIRECTS.has(status) && typeof location === 'string' ? location : undefined
}

/**
 * From https to http is followed: nothing of ours is in the request, an http URL could have been posted
 * as well, and it is the authenticated origin that sends us there.
 */
function redirected(
  location: string,
  from: URL,
  { policy, status }: { policy: AddressPolicy; status: number },
): URL {
  const bytes = Buffer.from(location, 'latin1')
  const url = URL.parse(isUtf8(bytes) ? bytes.toString('utf8') : location, from.href)
  if (url === null) throw statusFailure(hostOf(from), { status, retryAfter: undefined }, 0)
  const refusal = policy.checkUrl(url.href)
  if (refusal === undefined) return url
  const message = `${hostOf(from)} redirects to a URL that is not allowed: it ${refusal.detail}.`
  throw new AppError('url_not_allowed', message, { httpStatus: status })
}

function fileOf(
  answer: Answer,
  { url, place, signal }: { url: URL; place: Place; signal: AbortSignal },
): OutboundResponse {
  const { status, headers } = answer
  try {
    refuseOthers(answer, url)
  } catch (error) {
    discard(answer, place)
    throw error
  }
  return {
    status,
    headers,
    body: translated(answer, url, signal),
    isEndAnnounced: isEndAnnounced(headers),
    [Symbol.dispose]: () => discard(answer, place),
  }
}

function refuseOthers({ status, headers }: Answer, url: URL): void {
  const host = hostOf(url)
  if (!FILES.has(status)) {
    const retryAfter = String(headers['retry-after'] ?? '')
    throw statusFailure(host, { status, retryAfter }, Date.now())
  }
  const encoding = String(headers['content-encoding'] ?? 'identity')
  if (encoding !== '' && encoding.toLowerCase() !== 'identity') {
    const message = `${host} sends the file in a content encoding although none was accepted.`
    throw new AppError('origin_refused', message, { httpStatus: status })
  }
}

/** RFC 9112 §6.3. */
function isEndAnnounced(headers: IncomingHttpHeaders): boolean {
  const isChunked = /(^|[\s,])chunked$/i.test(headers['transfer-encoding']?.trim() ?? '')
  return isChunked || headers['content-length'] !== undefined
}

async function* translated(
  { status, body }: Answer,
  url: URL,
  signal: AbortSignal,
): AsyncIterable<readonly Uint8Array[]> {
  try {
    yield* body
  } catch (error) {
    throw signal.aborted ? signal.reason : bodyFailure(hostOf(url), status, error)
  }
}

function tooManyRedirects(
  first: string,
  maxRedirects: number,
  { status: httpStatus }: Answer,
): AppError {
  const message = `${hostOf(new URL(first))} redirects more than ${maxRedirects} times.`
  return new AppError('too_many_redirects', message, { httpStatus })
}

/**
 * Leaves the place. While the body has not come to its end, the connection is closed rather than read on:
 * whoever drips the rest would hold it for as long as he likes.
 */
function discard({ isWhole }: Answer, place: Place): void {
  place.leave({ isClean: isWhole })
}
