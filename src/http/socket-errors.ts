// What never becomes a request: broken HTTP, endless headers, methods that the parser does not know,
// clients that take too long. They get a problem like everybody else, written to the socket by hand; but
// never while a request before them is still to be answered: the client would take it for that answer.

import { randomUUID } from 'node:crypto'
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ProblemCode } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { type MethodTable, notAllowed, notFound } from './methods.ts'
import { asProblemError, type NarrowerStatus, PROBLEM_TYPE, problemOf } from './problem.ts'
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
  status?: NarrowerStatus
  allow?: string[]
}

export interface SocketErrorsOptions {
  log: Logger
  table: MethodTable
  /** What stands before the paths of this service, for clients. */
  publicPath: string
  /** How long the answers to the requests before may take, where nothing else bounds them. */
  answersMs: number
}

/** No method that the parser knows is longer. */
const LONGEST_METHOD = 16

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.[01]\r?\n/

export interface SocketErrors {
  /** For `clientErrorHandler`: answers, logs and closes. */
  onClientError(error: ClientError, socket: Socket): void
  /** For the server's `connect` event: we are no proxy. */
  onConnect(request: { url?: string | undefined }, socket: Socket): void
  /** True while an answer is being made or sent whose request needs nothing more of the client. */
  owesAnswer(socket: Socket): boolean
  /** Ends a connection that owes no answer; the client of a request that came in part is told. */
  giveUp(socket: Socket): void
}

export function createSocketErrors(options: SocketErrorsOptions): SocketErrors {
  const { table } = options
  const endAfterAnswers = createEnding(options)
  return {
    onClientError: (error, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
      else if (answerDueOn(socket)) endAfterAnswers(socket, error.code)
      else refuse(socket, refusalOf(error, table), options)
    },
    onConnect: ({ url }, socket) => {
      // Node has let go of it: nobody else listens.
      socket.on('error', () => socket.destroy())
      if (answerDueOn(socket)) endAfterAnswers(socket, 'CONNECT')
      else refuse(socket, unknownMethod('CONNECT', url ?? '', table), options)
    },
    owesAnswer: (socket) => answerDueOn(socket) !== undefined,
    giveUp: (socket) => {
      if (socket.writable && messageOf(socket)) refuse(socket, tooSlow(), options)
      else socket.destroy()
    },
  }
}

/** Lets the answers to the requests before go out whole, then ends the connection. What else comes is ignored. */
function createEnding({ log, answersMs }: SocketErrorsOptions) {
  const ending = new WeakSet<Socket>()
  return (socket: Socket, reason: string): void => {
    // The parser says so of every packet that follows.
    if (ending.has(socket)) return
    ending.add(socket)
    log.info({ reason }, 'what followed a request was refused: its connection ends')
    const timer = setTimeout(() => socket.destroy(), answersMs)
    socket.once('close', () => clearTimeout(timer))
    endOnceAnswered(socket)
  }
}

function endOnceAnswered(socket: Socket): void {
  const answer = answerDueOn(socket)
  // By then the answer to the next of several requests has taken its place.
  if (answer) answer.once('close', () => endOnceAnswered(socket))
  else socket.destroySoon()
}

/** The answer that has to come next on this connection, when its request needs nothing more of the client. */
function answerDueOn(socket: Socket): ServerResponse | undefined {
  const answer = messageOf(socket)
  if (!answer) return undefined
  const { complete, readableFlowing } = answer.req
  const isWaitingForBody = !complete && readableFlowing !== null
  return answer.headersSent || !isWaitingForBody ? answer : undefined
}

/** The answer to the request that came first, of those not answered yet; its body may still be to come. */
function messageOf(socket: Socket): ServerResponse | undefined {
  // Where Node itself looks; it has no other name for it.
  const { _httpMessage: answer } = socket as { _httpMessage?: ServerResponse | null }
  return answer ?? undefined
}

function refusalOf({ code, rawPacket, bytesParsed }: ClientError, table: MethodTable): Refusal {
  const packet = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : ''
  const taken = packet.slice(0, bytesParsed)
  switch (code) {
    case 'HPE_INVALID_METHOD': {
      // It may have failed within the method, up to where another one begins alike.
      const begun = /[A-Z-]*$/.exec(taken.slice(-LONGEST_METHOD))?.[0] ?? ''
      const line = packet.slice(taken.length - begun.length)
      const [, method, url] = REQUEST_LINE.exec(line) ?? []
      return method && url ? unknownMethod(method, url, table) : { error: notHttp() }
    }
    case 'HPE_HEADER_OVERFLOW':
      return isBeyondAddress(taken)
        ? refusal('too_large', 'The header fields are too large.', 431)
        : refusal('too_large', 'The address is too long.', 414)
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return tooSlow()
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

function refusal(code: ProblemCode, detail: string, status: NarrowerStatus): Refusal {
  return { error: new AppError(code, detail), status }
}

function tooSlow(): Refusal {
  return refusal('invalid_input', 'The request did not arrive in time.', 408)
}

function notHttp(): AppError {
  return new AppError('invalid_input', 'This is not a valid HTTP request.')
}

function refuse(
  socket: Socket,
  { error, status, allow }: Refusal,
  { log, publicPath }: SocketErrorsOptions,
): void {
  const context = { requestId: randomUUID(), publicPath, status }
  const problem = problemOf(asProblemError(error), context)
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
