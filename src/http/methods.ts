// What may be done at a path, for the requests that no route takes: 405 and OPTIONS both name it.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { patchTypes } from './json-body.ts'
import { pathOf } from './request-log.ts'

export interface MethodTable {
  add(method: string | string[], pattern: string): void
  /** The methods of this path, OPTIONS among them; undefined when nothing is there. */
  allowed(path: string): string[] | undefined
}

const order = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

export function createMethodTable(): MethodTable {
  const patterns = new Map<string, { matches: RegExp; methods: Set<string> }>()
  return {
    add: (method, pattern) => {
      const entry = patterns.get(pattern) ?? { matches: matcher(pattern), methods: new Set() }
      for (const one of [method].flat()) entry.methods.add(one)
      patterns.set(pattern, entry)
    },
    allowed: (path) => {
      const known = asRouted(path)
      if (known === undefined) return undefined
      const found = [...patterns.values()].filter(({ matches }) => matches.test(known))
      if (found.length === 0) return undefined
      const methods = new Set(found.flatMap((entry) => [...entry.methods]))
      return order.filter((method) => method === 'OPTIONS' || methods.has(method))
    },
  }
}

/**
 * As the router reads a path: a slash at the end makes no difference, and one that is encoded belongs
 * to its segment. Undefined for a path that cannot be decoded, which names nothing.
 */
function asRouted(path: string): string | undefined {
  try {
    return decodeURI(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path)
  } catch {
    return undefined
  }
}

/** `:name` is one segment, `*` the rest: the two kinds of variable that our routes have. */
function matcher(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:\w+/g, '[^/]+')
    .replace('*', '.+')
  return new RegExp(`^${source}$`, 's')
}

/**
 * Answers OPTIONS; otherwise the AppError that a request without a route ends in, its `Allow` already
 * set. Comes before the body is read: what is not taken need not be parsed.
 */
export function answerUnrouted(
  table: MethodTable,
  { method, url }: FastifyRequest,
  reply: FastifyReply,
): AppError | undefined {
  const path = pathOf(url)
  // `OPTIONS *` asks what the server can do at all.
  const methods = path === '*' ? order : table.allowed(path)
  if (!methods) return notFound()
  reply.header('allow', methods.join(', '))
  if (methods.includes('PATCH')) reply.header('accept-patch', patchTypes.join(', '))
  if (method !== 'OPTIONS') return notAllowed(method, methods)
  reply.code(204).send()
  return undefined
}

export function notFound(): AppError {
  return new AppError('not_found', 'There is nothing at this address.')
}

export function notAllowed(method: string, methods: readonly string[]): AppError {
  return new AppError(
    'method_not_allowed',
    `${method} is not allowed here; these are: ${methods.join(', ')}.`,
  )
}
