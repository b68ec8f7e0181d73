// Answers that do not end by themselves. Their number is bounded, and so is what waits in each: a
// reader that does not take what it was sent is cut off, and comes back to where it was.

import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import { heartbeat, retryAfter } from './event-frames.ts'
import { logRequest } from './request-log.ts'

export interface StreamLimits {
  /** Open streams at most. */
  maxStreams: number
  /** Between comments on a stream, which keep proxies from closing it. */
  heartbeatMs: number
  /** How long a reader may take for what it was sent. */
  stallMs: number
}

export const defaultStreamLimits: StreamLimits = {
  maxStreams: 10_000,
  heartbeatMs: 15_000,
  stallMs: 30_000,
}

export interface EventStream {
  /** Aborted once nobody reads any more: the client left, was cut off, or the server closes. */
  readonly signal: AbortSignal
  /** Resolves when there is room for more, or when nobody reads any more. Never rejects. */
  send(frames: readonly Buffer[]): Promise<void>
  /** The last word. May be called again. */
  end(): void
}

export interface EventStreams {
  /** Answers 200 with an open stream. Throws `unavailable` when too many are open or the server closes. */
  open(request: FastifyRequest, reply: FastifyReply): EventStream
  /** Answers HEAD: as `open` would, without a stream. */
  answerHead(reply: FastifyReply): void
  readonly size: number
  /** Ends all at once, also those whose readers take their time, and refuses further ones. */
  close(): void
}

const streamHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // Asks nginx and its like to pass on each event as it comes.
  'x-accel-buffering': 'no',
} as const

/** Clients of a server that stops come back one after the other. */
const RETRY_MS = { least: 1_000, spread: 4_000 }

export function createEventStreams(log: Logger, limits: StreamLimits): EventStreams {
  const streams = new Set<Stream>()
  let closing = false
  const assertRoom = () => {
    if (closing) throw new AppError('unavailable', 'The server is shutting down.')
    if (streams.size >= limits.maxStreams) {
      throw new AppError('unavailable', 'Too many event streams are open.')
    }
  }
  return {
    get size() {
      return streams.size
    },
    open: (request, reply) => {
      assertRoom()
      const stream = new Stream(request, reply, {
        log,
        limits,
        onClosed: () => streams.delete(stream),
      })
      streams.add(stream)
      stream.start()
      return stream
    },
    answerHead: (reply) => {
      assertRoom()
      writeHead(reply).end()
    },
    close: () => {
      closing = true
      for (const stream of streams) stream.cutShort()
    },
  }
}

/** Not through the framework: what it would do to an answer (measure, compress) is not for this one. */
function writeHead(reply: FastifyReply): ServerResponse {
  reply.headers(streamHeaders).hijack()
  return reply.raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders)
}

interface StreamOptions {
  log: Logger
  limits: StreamLimits
  onClosed(): void
}

class Stream implements EventStream {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #raw: ServerResponse
  readonly #options: StreamOptions
  readonly #closed = new AbortController()
  #heart: NodeJS.Timeout | undefined

  constructor(request: FastifyRequest, reply: FastifyReply, options: StreamOptions) {
    this.#request = request
    this.#reply = reply
    this.#raw = reply.raw
    this.#options = options
  }

  get signal(): AbortSignal {
    return this.#closed.signal
  }

  start(): void {
    const raw = writeHead(this.#reply)
    // The client may have left while its place was looked up.
    if (raw.closed) {
      this.#onClose()
      return
    }
    raw.once('close', () => this.#onClose())
    this.#heart = setInterval(() => this.#beat(), this.#options.limits.heartbeatMs)
    this.#write(retryAfter(RETRY_MS.least + Math.random() * RETRY_MS.spread))
  }

  async send(frames: readonly Buffer[]): Promise<void> {
    const [first] = frames
    if (!first || this.signal.aborted) return
    // One that goes to many streams is not copied.
    const flows = this.#write(frames.length === 1 ? first : Buffer.concat(frames))
    if (!flows) await this.#drained()
  }

  end(): void {
    this.#raw.end()
  }

  /** Ends without waiting for the reader. */
  cutShort(): void {
    this.#closed.abort()
    if (this.#raw.writableLength > 0) this.#raw.destroy()
    else this.#raw.end()
  }

  #write(bytes: Buffer): boolean {
    this.#request.streamedBytes = (this.#request.streamedBytes ?? 0) + bytes.byteLength
    return this.#raw.write(bytes)
  }

  #beat(): void {
    if (!this.#raw.writableNeedDrain && !this.#raw.writableEnded) this.#write(heartbeat)
  }

  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => this.#cutOff(), this.#options.limits.stallMs)
    this.#raw.once('drain', resolve).once('close', resolve)
    await promise
    clearTimeout(timer)
    this.#raw.off('drain', resolve).off('close', resolve)
  }

  #cutOff(): void {
    const { id: request_id } = this.#request
    const waiting = this.#raw.writableLength
    this.#options.log.info({ request_id, waiting }, 'a reader of events was too slow: cut off')
    this.#raw.destroy()
  }

  #onClose(): void {
    clearInterval(this.#heart)
    this.#closed.abort()
    this.#options.onClosed()
    // The framework tells of those that end by our own last word.
    if (!this.#raw.writableFinished) logRequest(this.#options.log, this.#request, this.#reply)
  }
}
