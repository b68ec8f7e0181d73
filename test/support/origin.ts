// A local HTTP origin for tests: serves what it is told by path, misbehaves on demand, and keeps a
// record of what it was asked. Listens on 127.0.0.1 only.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

/** Answers one request. Bytes and strings are a 200 with that body. */
export type Answer = Uint8Array | string | Handler
export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

export interface RecordedRequest {
  method: string
  /** Path with its query. */
  url: string
  headers: http.IncomingHttpHeaders
  /** Remote port of its connection: equal for requests that shared one. */
  connection: number | undefined
}

export interface Origin extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string
  port: number
  /** What answers by path (the query is ignored); may be changed while it runs. Anything else is a 404. */
  routes: Record<string, Answer>
  /** Every request so far, oldest first. */
  requests: RecordedRequest[]
  /** How often a path was asked for. */
  count(path: string): number
  /** Resolves once a path was asked for `times` times. */
  asked(path: string, times?: number): Promise<void>
}

export interface OriginOptions {
  /** Speaks HTTPS with this certificate. */
  tls?: Certificate
}

export interface Certificate {
  key: string
  cert: string
}

/** Starts an origin on a free port. */
export async function startOrigin(
  routes: Record<string, Answer> = {},
  { tls }: OriginOptions = {},
): Promise<Origin> {
  const requests: RecordedRequest[] = []
  const waiting = new Set<() => void>()
  const count = (path: string) => requests.filter(({ url }) => pathOf(url) === path).length

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers, socket } = request
    requests.push({ method, url, headers, connection: socket.remotePort })
    for (const look of waiting) look()
    respond(routes[pathOf(url)], request, response).catch((error) => response.destroy(error))
  }
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener)
  // Not the default five seconds: whether a connection is kept is for the client under test to decide.
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    routes,
    requests,
    count,
    asked: (path, times = 1) =>
      new Promise((resolve) => {
        const look = () => {
          if (count(path) < times) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Any status, with headers and a body. */
export function status(
  code: number,
  headers: http.OutgoingHttpHeaders = {},
  body: Uint8Array | string = '',
): Handler {
  return (_request, response) => {
    response.writeHead(code, headers).end(body)
  }
}

/** A file of the disk, by its path, with its Content-Length. */
export function file(path: string, contentType = 'application/octet-stream'): Handler {
  return async (_request, response) => {
    const body = await readFile(path)
    response
      .writeHead(200, { 'content-type': contentType, 'content-length': body.length })
      .end(body)
  }
}

export function redirect(location: string, code = 302): Handler {
  return status(code, { location })
}

/** The first answer for the first request, the second for the second …; the last one from then on. */
export function sequence(...answers: [Answer, ...Answer[]]): Handler {
  let next = 0
  return (request, response) => {
    const answer = answers[Math.min(next++, answers.length - 1)]
    return respond(answer, request, response)
  }
}

/** Answers once the promise is resolved. */
export function heldBack(until: Promise<unknown>, answer: Answer): Handler {
  return async (request, response) => {
    await until
    await respond(answer, request, response)
  }
}

/** Never answers. */
export function stall(): Handler {
  return () => {}
}

/** Headers and the first bytes, then nothing any more. */
export function stallAfter(body: Uint8Array, bytes: number): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': body.length })
    response.write(body.subarray(0, bytes))
  }
}

/** A few bytes at a time. Without a Content-Length unless it is asked for. */
export function drip(
  body: Uint8Array,
  { bytes, everyMs, length = false }: { bytes: number; everyMs: number; length?: boolean },
): Handler {
  return async (_request, response) => {
    response.writeHead(200, length ? { 'content-length': body.length } : {})
    for (let at = 0; at < body.length && !response.destroyed; at += bytes) {
      response.write(body.subarray(at, at + bytes))
      await delay(everyMs)
    }
    response.end()
  }
}

/** Promises the whole body, sends the first bytes, and closes the connection. */
export function truncated(body: Uint8Array, bytes: number): Handler {
  return (_request, response) => {
    response.writeHead(200, { 'content-length': body.length })
    response.write(body.subarray(0, bytes), () => response.destroy())
  }
}

/** These bytes on the connection, instead of HTTP made by a server; then it is closed. */
export function raw(bytes: string): Handler {
  return (_request, response) => {
    response.socket?.end(bytes)
  }
}

/** Closes the connection without a word. */
export function hangUp(): Handler {
  return (_request, response) => {
    response.destroy()
  }
}

/** A new self-signed certificate for these names, as nobody trusts it. */
export async function selfSigned(
  names: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1'],
): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-tls-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const ask = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
    const subject = ['-subj', '/CN=vitrine.test', '-addext', `subjectAltName=${names.join(',')}`]
    await promisify(execFile)('openssl', [
      ...ask.split(' '),
      ...['-keyout', key, '-out', cert],
      ...subject,
    ])
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function respond(
  answer: Answer | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (answer === undefined) await status(404)(request, response)
  else if (typeof answer === 'function') await answer(request, response)
  else response.writeHead(200, { 'content-length': Buffer.byteLength(answer) }).end(answer)
}

function pathOf(url: string): string {
  return url.replace(/[?#].*$/s, '')
}
