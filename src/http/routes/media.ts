// The files that this service keeps itself. A key never means another file, so clients may keep what
// they got for ever; a path that is no key, however it is spelled, leads nowhere.

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError, isAppError } from '../../errors.ts'
import { MEDIA_PATH, STORAGE_KEY, type Storage, type StoredFile } from '../../storage/storage.ts'
import type { App } from '../app.ts'
import { noneMatchFails, rangeOf } from '../conditional.ts'
import { notFound } from '../methods.ts'
import { sendProblem } from '../problem.ts'
import { answers } from './problems.schema.ts'

const file = {
  description: 'The file',
  content: { 'image/*': { schema: Type.String({ format: 'binary' }) } },
}

const RANGE_NOT_SATISFIABLE = 416

export function registerMediaRoutes(app: App, storage: Storage): void {
  app.route({
    // Both, so that HEAD is answered without reading the file.
    method: ['GET', 'HEAD'],
    url: `${MEDIA_PATH}*`,
    schema: {
      tags: ['service'],
      summary: 'A processed picture',
      params: Type.Object({ '*': Type.String() }),
      response: answers({ 200: file }, 'not_found', 'unavailable'),
    },
    handler: async (request, reply) => {
      const key = request.params['*']
      const file = STORAGE_KEY.test(key) ? await open(storage, key) : undefined
      if (!file) throw notFound()
      return sendFile(file, { key, request, reply })
    },
  })
}

async function open(storage: Storage, key: string): Promise<StoredFile | undefined> {
  try {
    return await storage.open(key)
  } catch (error) {
    if (!isAppError(error, 'storage_failed')) throw error
    throw new AppError('unavailable', 'The file cannot be read at the moment.', { cause: error })
  }
}

interface Exchange {
  key: string
  request: FastifyRequest
  reply: FastifyReply
}

function sendFile(file: StoredFile, { key, request, reply }: Exchange): FastifyReply {
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
    return reply.send(method === 'HEAD' ? undefined : Readable.from(file.read()))
  }
  const { start, end } = range
  reply.code(206).headers({
    'content-length': end - start + 1,
    'content-range': `bytes ${start}-${end}/${file.size}`,
  })
  return reply.send(Readable.from(file.read(range)))
}

function refuseRange(file: StoredFile, reply: FastifyReply): FastifyReply {
  reply.header('content-range', `bytes */${file.size}`)
  const error = new AppError('invalid_input', `The file has ${file.size} bytes.`)
  sendProblem(reply, error, RANGE_NOT_SATISFIABLE)
  return reply
}
