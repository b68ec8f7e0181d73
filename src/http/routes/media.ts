// The files that this service keeps itself. A key never means another file, so clients may keep what
// they got for ever; a path that is no key, however it is spelled, leads nowhere. Of a bucket it serves
// nothing: links from before there was one lead on to it.

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError } from '../../errors.ts'
import { RENDITION_KEY } from '../../images/rendition-key.ts'
import type { Logger } from '../../observability/logger.ts'
import { MEDIA_PATH, STORAGE_KEY, type Storage, type StoredFile } from '../../storage/storage.ts'
import type { App } from '../app.ts'
import { noneMatchFails, rangeOf } from '../conditional.ts'
import { notFound } from '../methods.ts'
import { sendProblem } from '../problem.ts'
import { pathOf } from '../request-log.ts'
import { notModified, withHeaders } from './headers.schema.ts'
import { answers, problemBody } from './problems.schema.ts'

const file = {
  description: 'The file',
  content: { 'image/*': { schema: Type.String({ format: 'binary' }) } },
}

const rangeHeaders = Type.Object({
  Range: Type.Optional(
    Type.String({
      description: 'One part of the file. What is not understood is ignored, as are several parts.',
      examples: ['bytes=0-1023'],
    }),
  ),
  'If-Range': Type.Optional(
    Type.String({
      description: 'The `ETag` of the file that the part is for; else all of it is sent.',
    }),
  ),
})

const elsewhere = Type.Null({
  description: 'The files are in a public bucket: a link from before leads to the picture there.',
})

const RANGE_NOT_SATISFIABLE = 416

export interface MediaRoutesOptions {
  storage: Storage
  log: Logger
}

export function registerMediaRoutes(app: App, { storage, log }: MediaRoutesOptions): void {
  const schema = {
    tags: ['service'],
    operationId: 'getMedia',
    summary: 'A processed picture',
    headers: rangeHeaders,
    response: answers(
      {
        200: withHeaders(file, 'ETag', 'Cache-Control', 'Accept-Ranges'),
        206: withHeaders(file, 'ETag', 'Cache-Control', 'Accept-Ranges', 'Content-Range'),
        302: withHeaders(elsewhere, 'Location', 'Cache-Control'),
        304: withHeaders(notModified.body, 'ETag', 'Accept-Ranges'),
        416: withHeaders(problemBody(416, ['invalid_input']), 'Accept-Ranges', 'Content-Range'),
      },
      'not_found',
      'unavailable',
    ),
  }
  const serve = async (
    request: FastifyRequest<{ Params: { '*': string } }>,
    reply: FastifyReply,
  ) => {
    const key = request.params['*']
    // The router takes a slash off the end, which is right for everything but a file.
    const isKey = STORAGE_KEY.test(key) && !pathOf(request.url).endsWith('/')
    // Where URLs are signed, files are not for everybody who knows a key.
    if (!isKey || storage.signer) throw notFound()
    if (!storage.urlPrefix.startsWith('/')) return sendThere(storage.urlPrefix, key, reply)
    const found = await storage.open(key)
    if (!found) throw notFound()
    return sendFile(found, { key, request, reply, log })
  }
  const url = `${MEDIA_PATH}*`
  app.get(url, { exposeHeadRoute: false, schema }, serve)
  // The framework's own HEAD would read the whole file to throw it away.
  app.head(url, { schema: { ...schema, hide: true } }, serve)
}

/**
 * To the public URL of a rendition, whether it is there or not. The bucket may hold other things, some of
 * them for us only: nothing is read with our credentials for who asks, and no other key leads anywhere.
 */
function sendThere(urlPrefix: string, key: string, reply: FastifyReply): FastifyReply {
  if (!RENDITION_KEY.test(key)) throw notFound()
  // The public URL may change, by a CDN or another bucket.
  reply.header('cache-control', 'public, max-age=86400')
  return reply.redirect(urlPrefix + key, 302)
}

interface Exchange {
  key: string
  request: Pick<FastifyRequest, 'id' | 'method' | 'headers'>
  reply: FastifyReply
  log: Logger
}

function sendFile(file: StoredFile, exchange: Exchange): FastifyReply {
  const { key, request, reply } = exchange
  const { method, headers } = request
  const etag = `"${key}"`
  reply.headers({
    etag,
    'cache-control': 'public, max-age=31536000, immutable',
    'accept-ranges': 'bytes',
    // Whatever a file is made to look like, it runs nothing here.
    'content-security-policy': "default-src 'none'; sandbox",
  })
  if (noneMatchFails(headers['if-none-match'], etag)) return reply.code(304).send()
  // A part is asked for only by GET, and only of the file that the client has the rest of.
  const mayRange = method === 'GET' && (headers['if-range'] ?? etag) === etag
  const range = mayRange ? rangeOf(headers.range, file.size) : 'whole'
  if (range === 'unsatisfiable') return refuseRange(file, reply)
  reply.header('content-type', file.contentType)
  if (range === 'whole') {
    reply.header('content-length', file.size)
    return reply.send(method === 'HEAD' ? undefined : streamOf(file.read(), exchange))
  }
  const { start, end } = range
  reply.code(206).headers({
    'content-length': end - start + 1,
    'content-range': `bytes ${start}-${end}/${file.size}`,
  })
  return reply.send(streamOf(file.read(range), exchange))
}

/** A file that breaks off after its headers were sent can only be cut short; the log says why. */
function streamOf(body: AsyncIterable<Uint8Array>, { key, request, log }: Exchange): Readable {
  const stream = Readable.from(body, { objectMode: false })
  return stream.on('error', (err) => {
    log.warn({ request_id: request.id, key, err }, 'a stored file could not be sent')
  })
}

function refuseRange(file: StoredFile, reply: FastifyReply): FastifyReply {
  reply.header('content-range', `bytes */${file.size}`)
  const error = new AppError('invalid_input', `The file has ${file.size} bytes.`)
  sendProblem(reply, error, RANGE_NOT_SATISFIABLE)
  return reply
}
