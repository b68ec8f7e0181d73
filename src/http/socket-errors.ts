// What never becomes a request: broken HTTP, endless headers, methods that the parser does not know,
// clients that take too long. They get a problem like everybody else, written to the socket by hand.

import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ProblemCode } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { type MethodTable, notAllowed, notFound } from './methods.ts'
import { asProblemError, PROBLEM_TYPE, problemOf } from './problem.ts'
import { pathOf } from './request-log.ts'
import { toRoutePath } from './route-path.ts'

/** As `http.Server` emits it with `clientError`. */
export interface ClientError extends Error {
  code: string
  /** The bytes in which the parser failed: a Buffer, whatever Fastify's types say of it. */
  rawPacket?: unknown
  /** How many of them it took before it did. */
  bytesParsed?: number
}

interface Refusal {
  error: AppError
  status?: number
  allow?: string[]
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.[01]\r?\n/

/** For `clientErrorHandler`: answers, logs and closes. */
export function createClientErrorHandler(log: Logger, table: MethodTable) {
  return (error: ClientError, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable || hasAnswerUnderWay(socket)) {
      socket.destroy()
      return
    }
    refuse(socket, refusalOf(error, table), log)
  }
}

/** For the server's `connect` event: we are no proxy. */
export function createConnectHandler(log: Logger, table: MethodTable) {
  return ({ url }: { url?: string | undefined }, socket: Socket): void =>
    refuse(socket, unknownMethod('CONNECT', url ?? '', table), log)
}

function refusalOf({ code, rawPacket, bytesParsed }: ClientError, table: MethodTable): Refusal {
  const packet = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : ''
  switch (code) {
    case 'HPE_INVALID_METHOD': {
      const [, method, url] = REQUEST_LINE.exec(packet) ?? []
      return method && url ? unknownMethod(method, url, table) : { error: notHttp() }
    }
    case 'HPE_HEADER_OVERFLOW':
      return isBeyondAddress(packet.slice(0, bytesParsed))
        ? refusal('too_large', 'The header fields are too large.', 431)
        : refusal('too_large', 'The address is too long.', 414)
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return refusal('invalid_input', 'The request did not arrive in time.', 408)
    default:
      return { error: notHttp() }
  }
}

/**
 * What came last may begin anywhere in the request. An address holds neither blanks nor ends of lines:
 * without any, beside the one after the method, it is the address that does not fit.
 */
function isBeyondAddress(text: string): boolean {
  return /[ \n]/.test(text.replace(/^[A-Z]+ /, ''))
}

function unknownMethod(method: string, url: string, table: MethodTable): Refusal {
  const allow = table.allowed(pathOf(toRoutePath(url)))
  return allow ? { error: notAllowed(method, allow), allow } : { error: notFound() }
}

function refusal(code: ProblemCode, detail: string, status: number): Refusal {
  return { error: new AppError(code, detail), status }
}

function notHttp(): AppError {
  return new AppError('invalid_input', 'This is not a valid HTTP request.')
}

function refuse(socket: Socket, { error, status, allow }: Refusal, log: Logger): void {
  const problem = problemOf(asProblemError(error), randomUUID(), status)
  const body = JSON.stringify(problem)
  const lines = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${problem.request_id}`,
    ...(allow ? [`Allow: ${allow.join(', ')}`] : []),
    'X-Content-Type-Options: nosniff',
    'Cache-Control: no-store',
    'Connection: close',
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
  log.info(
    { route: null, status: problem.status, code: problem.code, request_id: problem.request_id },
    'request refused',
  )
}

/** Bytes of ours in the middle of another answer would be taken for a part of it. Node itself looks here. */
function hasAnswerUnderWay(socket: Socket): boolean {
  const { _httpMessage: message } = socket as { _httpMessage?: { headersSent?: boolean } | null }
  return message?.headersSent === true
}
