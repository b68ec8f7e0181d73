// What went wrong outside, as the codes a picture can fail with. Messages are shown to whoever posted
// the URL: they name the host and nothing else, no query, no address a name resolved to. The `cause`
// has the rest, for the log.

import { AppError, isAppError } from '../errors.ts'
import { retryAfterMs } from './retry-after.ts'

/** Name does not exist, as resolvers say it (`Lookup`). */
const UNKNOWN_HOST = 'ENOTFOUND'

const connectReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  ETIMEDOUT: 'it took too long',
  TimeoutError: 'it took too long',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
}

const tlsReasons: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority nobody knows',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority nobody knows',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the chain of its certificate is incomplete',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS there',
}

/** Answers that cannot be understood. The parser's own errors come with and without a code. */
const notHttp = new Set([
  'HTTPParserError',
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  // The client's own check of the status: below 100.
  'ERR_ASSERTION',
])

/** A 100 or 101 that nobody asked for, as undici words it: its code is that of every broken connection. */
const unasked = new Set(['bad response', 'bad upgrade'])

/** True when a `dns_failed` says that the name does not exist, rather than that nobody could tell. */
export function isUnknownHost(error: unknown): boolean {
  return isAppError(error, 'dns_failed') && codeOf(error.cause) === UNKNOWN_HOST
}

/** No address of the host may be connected to. `addresses` go to the cause only. */
export function notPublic(host: string, addresses: readonly string[]): AppError {
  return new AppError('url_not_allowed', `${host} is not at a public address.`, {
    cause: new Error(`refused: ${addresses.join(', ')}`),
  })
}

export function dnsFailure(host: string, cause: unknown): AppError {
  const message =
    codeOf(cause) === UNKNOWN_HOST
      ? `There is no host with the name ${host}.`
      : `The address of ${host} could not be found out.`
  return new AppError('dns_failed', message, { cause })
}

export function connectFailure(host: string, cause: unknown): AppError {
  const reason = connectReasons[codeOf(cause)] ?? 'the network reported an error'
  return new AppError('connect_failed', `Could not connect to ${host}: ${reason}.`, { cause })
}

/** A handshake that failed. One that merely broke off or took too long may succeed the next time. */
export function tlsFailure(host: string, cause: unknown): AppError {
  const code = codeOf(cause)
  if (code in connectReasons) return connectFailure(host, cause)
  const reason = tlsReasons[code] ?? 'no common way to encrypt was found'
  return new AppError('tls_failed', `Could not connect securely to ${host}: ${reason}.`, { cause })
}

/** Why no usable answer came back on a connection. What is not of the network is returned as it is. */
export function requestFailure(host: string, cause: unknown): unknown {
  const code = codeOf(cause)
  if (isAppError(cause) || isOurs(code)) return cause
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return timeout(host, { cause })
  if (notHttp.has(code) || code.startsWith('HPE_')) {
    return new AppError('origin_error', `${host} answered with something that is not HTTP.`, {
      cause,
    })
  }
  if (cause instanceof Error && unasked.has(cause.message)) {
    const message = `${host} answered with an interim status that was not asked for.`
    return new AppError('origin_error', message, { cause })
  }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return tlsFailure(host, cause)
  return connectFailure(host, cause)
}

/** Why a body ended early, after an answer with this status. */
export function bodyFailure(host: string, httpStatus: number, cause: unknown): unknown {
  const code = codeOf(cause)
  if (isOurs(code)) return cause
  if (code === 'UND_ERR_BODY_TIMEOUT') return timeout(host, { httpStatus, cause })
  const message = `${host} broke off before the whole file was sent.`
  return new AppError('download_truncated', message, { httpStatus, cause })
}

/** An answer other than the file. `now` is the time of its arrival, in milliseconds. */
export function statusFailure(
  host: string,
  { status, retryAfter }: { status: number; retryAfter: string | undefined },
  now: number,
): AppError {
  const wait = retryAfterMs(retryAfter, now)
  const told = { httpStatus: status, ...(wait === undefined ? {} : { retryAfterMs: wait }) }
  const answered = `${host} answered with status ${status}`
  if (status === 404 || status === 410) {
    return new AppError('origin_not_found', `${answered}: there is no such file.`, told)
  }
  if (status === 401 || status === 403) {
    return new AppError('origin_forbidden', `${answered}: the file is not public.`, told)
  }
  if (status === 429) {
    return new AppError('origin_rate_limited', `${answered}: too many requests.`, told)
  }
  if (status >= 500) return new AppError('origin_error', `${answered}: a fault of its own.`, told)
  return new AppError('origin_refused', `${answered} instead of a file.`, told)
}

function timeout(host: string, told: { httpStatus?: number; cause: unknown }): AppError {
  return new AppError('download_timeout', `${host} sent nothing for too long.`, told)
}

/** Failures of ours, not of the origin's: the client is closed or was used wrongly. */
function isOurs(code: string): boolean {
  return ['UND_ERR_DESTROYED', 'UND_ERR_CLOSED', 'UND_ERR_INVALID_ARG'].includes(code)
}

/** An error's stable name: its `code`, or for a timeout its `name`. */
function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  return 'name' in error && typeof error.name === 'string' ? error.name : ''
}
