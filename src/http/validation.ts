// Requests against their schemas: every field at fault is named by a JSON pointer, the rule that it
// breaks and a sentence. Bodies are taken as they are: "5" is not a number, null is not absent.

import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { AppError, type FieldError } from '../errors.ts'
import type { Query } from './query.ts'

type Outcome = { value: unknown } | { error: AppError }

/** The validator of a server's routes. */
export function createValidatorCompiler(): FastifySchemaCompiler<TSchema> {
  const ajv = createAjv()
  return ({ schema: declared, httpPart }) => {
    const schema = httpPart === 'headers' ? withLowerCaseNames(declared) : declared
    const validate = ajv.compile(schema)
    if (httpPart !== 'querystring') return (body: unknown) => validateBody(validate, schema, body)
    return (query: Query) => validateQuery(validate, schema, query)
  }
}

/** Judges what was sent otherwise than as a request's body, by the same rules. */
export function createBodyValidator(schema: TSchema): (body: unknown) => Outcome {
  const validate = createAjv().compile(schema)
  return (body) => validateBody(validate, schema, body)
}

function createAjv(): Ajv {
  const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, verbose: true })
  // Ajv divides, and so refuses 19.99 as a multiple of 0.01. Published here, checked by the catalogue.
  ajv.removeKeyword('multipleOf').addVocabulary(['multipleOf', 'x-expected'])
  // Text without NUL likewise.
  ajv.removeKeyword('not').addVocabulary(['not'])
  // Published too; what a URL may be is the address policy's to say.
  ajv.addFormat('uri', true)
  return ajv
}

/** Header fields are published as they are written, and arrive in lower case. */
function withLowerCaseNames(schema: TSchema): TSchema {
  const { properties = {} } = schema as { properties?: Record<string, TSchema> }
  const lowered = Object.entries(properties).map(([name, rule]) => [name.toLowerCase(), rule])
  return { ...schema, properties: Object.fromEntries(lowered) }
}

function validateBody(validate: ValidateFunction, schema: TSchema, body: unknown): Outcome {
  if (validate(withShortArrays(schema, body))) return { value: body }
  return { error: invalid((validate.errors ?? []).map(fieldError), 'The body') }
}

/**
 * An array that is too long is refused for that; judging 300,000 elements would only cost time. One
 * element more than allowed is kept, so that the refusal is the validator's own.
 */
function withShortArrays(schema: TSchema, body: unknown): unknown {
  const { properties } = schema as { properties?: Record<string, { maxItems?: number }> }
  if (typeof body !== 'object' || body === null) return body
  const cut = Object.entries(properties ?? {}).flatMap(([name, { maxItems }]) => {
    const value = (body as Record<string, unknown>)[name]
    const tooLong = maxItems !== undefined && Array.isArray(value) && value.length > maxItems
    return tooLong ? [[name, value.slice(0, maxItems + 1)] as const] : []
  })
  return cut.length > 0 ? { ...body, ...Object.fromEntries(cut) } : body
}

function validateQuery(validate: ValidateFunction, schema: TSchema, query: Query): Outcome {
  const { properties } = schema as { properties?: Record<string, { type?: string }> }
  const value: Record<string, unknown> = {}
  const errors: FieldError[] = []
  for (const [name, { type }] of Object.entries(properties ?? {})) {
    const given = query[name]
    if (given === undefined) continue
    const error = unreadable(name, given)
    if (error) errors.push(error)
    else value[name] = type === 'integer' ? integer(String(given)) : given
  }
  if (!validate(value)) errors.push(...(validate.errors ?? []).map(fieldError))
  return errors.length > 0 ? { error: invalid(errors, 'The query') } : { value }
}

function unreadable(name: string, given: Query[string]): FieldError | undefined {
  const pointer = `/${name}`
  if (given === null) return { pointer, code: 'encoding', detail: 'must be percent-encoded UTF-8' }
  if (Array.isArray(given)) return { pointer, code: 'repeated', detail: 'must be given once' }
  if (!given.includes('\0')) return undefined
  return { pointer, code: 'text', detail: 'must not contain the NUL character' }
}

/** Text that is no integer stays text, and the schema refuses it. */
function integer(text: string): number | string {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text
}

function fieldError(error: ErrorObject): FieldError {
  const { instancePath, keyword, params, message, parentSchema } = error
  switch (keyword) {
    case 'required':
      return {
        pointer: `${instancePath}/${params.missingProperty}`,
        code: keyword,
        detail: 'is required',
      }
    case 'type': {
      const detail = `must be of type ${[params.type].flat().join(' or ')}`
      return { pointer: instancePath, code: keyword, detail }
    }
    case 'enum': {
      const values: string[] = params.allowedValues
      const detail = `must be ${values.length > 1 ? 'one of ' : ''}${values.join(', ')}`
      return { pointer: instancePath, code: keyword, detail }
    }
    case 'pattern':
      // A regular expression is no sentence: the schema says what it stands for.
      return {
        pointer: instancePath,
        code: keyword,
        detail: `must be ${parentSchema?.['x-expected'] ?? 'of another form'}`,
      }
    default:
      return {
        pointer: instancePath,
        code: keyword,
        detail: message?.replace('NOT', 'not') ?? 'is not valid',
      }
  }
}

/** `invalid_input` about these fields, one rule for each; its detail names the first. */
export function invalid(broken: readonly FieldError[], whole: string): AppError {
  const errors = broken.filter(
    ({ pointer }, at) => broken.findIndex((other) => other.pointer === pointer) === at,
  )
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  const name = first?.pointer.slice(1) || whole
  return new AppError('invalid_input', `${name} ${first?.detail}${more}`, { errors })
}
