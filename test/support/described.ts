// Every answer of a server against its own description: status, type, header fields and body.

import assert from 'node:assert/strict'
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../src/http/app.ts'

export interface Operation {
  operationId: string
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Response>
}

interface Response {
  headers?: Record<string, object>
  content?: Record<string, Media>
}

interface Media {
  schema: object
  example?: unknown
  examples?: Record<string, { value: unknown }>
}

export interface OpenApiDocument {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, { examples?: unknown[] }>
    headers: Record<string, object>
    responses: Record<string, Response>
  }
}

/** Judges a value by the schema at this place of the document; undefined: it fits. */
export type Judge = (place: readonly (string | number)[], value: unknown) => string | undefined

export function createJudge(document: OpenApiDocument): Judge {
  const ajv = new Ajv2020({
    strict: false,
    formats: {
      uuid: true,
      'date-time': true,
      uri: true,
      'uri-reference': true,
      binary: true,
    },
  })
  // Ajv divides, and so refuses 19.99 as a multiple of 0.01.
  ajv.removeKeyword('multipleOf').addVocabulary(['multipleOf'])
  ajv.addSchema({ ...document, $id: 'openapi' } as AnySchema)
  return (place, value) => {
    const pointer = place
      .map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1'))
      .map(encodeURIComponent)
      .join('/')
    const validate = ajv.getSchema(`openapi#/${pointer}`)
    assert.ok(validate, `the description has no ${pointer}`)
    return validate(value) ? undefined : JSON.stringify(validate.errors).slice(0, 300)
  }
}

/** The fields that any answer may have, whatever it is. */
const always =
  /^(content-type|content-length|content-encoding|date|connection|keep-alive|transfer-encoding|allow|vary|cache-control|accept-patch|content-security-policy|x-content-type-options|access-control-.*)$/

/**
 * Collects what answers break. Has to be called before the server is ready. Left out are answers to
 * what no route takes, and defects: nobody promises a 500.
 */
export function watchDescribed(app: App): ReadonlySet<string> {
  const broken = new Set<string>()
  let judge: Judge | undefined
  app.addHook('onSend', (request, reply, payload, done) => {
    const document = app.swagger() as unknown as OpenApiDocument
    judge ??= createJudge(document)
    for (const mistake of mistakes({ document, judge, request, reply, payload }))
      broken.add(mistake)
    done(null, payload)
  })
  return broken
}

interface Answer {
  document: OpenApiDocument
  judge: Judge
  request: FastifyRequest
  reply: FastifyReply
  payload: unknown
}

function mistakes({ document, judge, request, reply, payload }: Answer): string[] {
  const { url, schema } = request.routeOptions
  if (url === undefined || request.method === 'HEAD' || (schema as { hide?: true })?.hide) return []
  if (reply.statusCode === 500 || isNoRequest(request)) return []
  const path = url.replace(/:(\w+)/g, '{$1}').replace('*', '{key}')
  const place = ['paths', path, request.method.toLowerCase(), 'responses', reply.statusCode]
  const response = document.paths[path]?.[request.method.toLowerCase()]?.responses[reply.statusCode]
  const name = `${request.method} ${path} ${reply.statusCode}`
  if (!response) return [`${name} is not described`]
  const undescribed = Object.keys(reply.getHeaders()).filter(
    (field) =>
      !always.test(field) &&
      !Object.keys(response.headers ?? {}).some((described) => described.toLowerCase() === field),
  )
  const wrong = undescribed.map((field) => `${name} has an undescribed header field: ${field}`)
  const body = bodyMistake(response, { place, judge, reply, payload })
  return body === undefined ? wrong : [...wrong, `${name}: ${body}`]
}

/** Refused before any route, for what HTTP itself says of the Host and of expectations. */
function isNoRequest({ headers, raw }: FastifyRequest): boolean {
  const hosts = raw.rawHeaders.filter((text, at) => at % 2 === 0 && /^host$/i.test(text))
  return hosts.length !== 1 || headers.expect !== undefined
}

function bodyMistake(
  { content }: Response,
  {
    place,
    judge,
    reply,
    payload,
  }: Pick<Answer, 'judge' | 'reply' | 'payload'> & { place: (string | number)[] },
): string | undefined {
  if (payload === null || payload === undefined || payload === '') {
    return content === undefined ? undefined : 'no body where one is described'
  }
  const type = String(reply.getHeader('content-type')).split(';')[0] ?? ''
  if (content?.['image/*'] && type.startsWith('image/')) return undefined
  if (!content?.[type]) return `a body of type ${type}`
  const json = Buffer.isBuffer(payload) ? payload.toString() : payload
  if (typeof json !== 'string') return 'a body that is no text'
  return judge([...place, 'content', type, 'schema'], JSON.parse(json))
}
