// Request bodies: JSON in UTF-8, parsed strictly, for the routes that take a body. A route that
// takes none ignores what it is sent, whatever that is.

import { TextDecoder } from 'node:util'
import type { FastifyInstance, FastifyRequest, preParsingHookHandler } from 'fastify'
import { AppError } from '../errors.ts'
import { jsonErrorOffset } from '../lib/json-error.ts'

/**
 * The largest legal product takes 370 KB: 10,328 characters of text and 20 URLs of 2,048 code units,
 * every unit written as \uXXXX (6 bytes). The rest leaves room for fields that we ignore.
 */
export const BODY_LIMIT = 1024 * 1024

/** What a PATCH may be, by RFC 7396 and by habit: both are read as a merge patch. */
export const patchTypes = ['application/merge-patch+json', 'application/json'] as const

const decoder = new TextDecoder('utf-8', { fatal: true })

export function acceptJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    [...patchTypes],
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    async (request: FastifyRequest, body: Buffer) => {
      checkType(request)
      checkEncoding(request)
      return parseJson(body)
    },
  )
  app.addContentTypeParser('*', async (request: FastifyRequest) => {
    throw otherTypeThan(typesOf(request))
  })
  app.addHook('onRoute', (route) => {
    // GET and HEAD are never asked for one.
    const isRead = [route.method].flat().every((method) => method === 'GET' || method === 'HEAD')
    if (!isRead && route.schema?.body === undefined) route.preParsing = ignoreBody
  })
}

/** By these the framework knows of a body, and judges it. What nobody reads, Node drops after the answer. */
const bodyFields = ['content-type', 'content-length', 'transfer-encoding'] as const

const ignoreBody: preParsingHookHandler = ({ raw }, _reply, _payload, done) => {
  for (const name of bodyFields) delete raw.headers[name]
  done()
}

/** A merge patch says what a PATCH does anyway; as a whole resource it would be misread. */
function typesOf({ method }: FastifyRequest): readonly string[] {
  return method === 'PATCH' ? patchTypes : ['application/json']
}

function checkType(request: FastifyRequest): void {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';')
  const types = typesOf(request)
  if (!types.includes(type.trim().toLowerCase())) throw otherTypeThan(types)
}

function otherTypeThan(types: readonly string[]): AppError {
  return unsupported(`The body must be ${types.join(' or ')}.`)
}

/** JSON between systems is UTF-8 (RFC 8259 §8.1); what says otherwise would be misread. */
function checkEncoding({ headers }: FastifyRequest): void {
  const [, charset] = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers['content-type'] ?? '') ?? []
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    throw unsupported('JSON must be encoded in UTF-8.')
  }
  if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) {
    throw unsupported('Compressed bodies are not accepted.')
  }
}

/** Throws `malformed_json` that says where; `whole` is what the sentence calls the text. */
export function parseJson(body: Buffer, whole = 'The body'): unknown {
  const text = decode(body, whole)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AppError('malformed_json', whatIsWrong(text, whole), { cause })
  }
}

function decode(body: Buffer, whole: string): string {
  try {
    return decoder.decode(body)
  } catch (cause) {
    throw new AppError('malformed_json', `${whole} is not UTF-8.`, { cause })
  }
}

function whatIsWrong(text: string, whole: string): string {
  if (text.trim() === '') return `${whole} is empty where a JSON object is expected.`
  const offset = jsonErrorOffset(text) ?? 0
  if (offset >= text.length) return `${whole} ends too early, at position ${offset}.`
  const before = text.slice(0, offset).split('\n')
  const column = (before.at(-1)?.length ?? 0) + 1
  return `${whole} stops being JSON at position ${offset} (line ${before.length}, column ${column}).`
}

function unsupported(detail: string): AppError {
  return new AppError('unsupported_media_type', detail)
}
