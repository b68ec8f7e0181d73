// What Fastify carries for us: typed schemas, and the fields that hooks and routes share.

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { RequestContext } from '../images/image.ts'
import { continueTrace } from '../observability/trace.ts'

/** The server, with request types that follow from the schemas of its routes. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** The canonical base; every route answers without it as well. */
export const BASE = '/api/v1'

declare module 'fastify' {
  interface FastifyInstance {
    /** True from the moment the process began to shut down. */
    isStopping(): boolean
    /** What stands before every path in references for clients: the path of the public URL, without a slash at its end. */
    publicPath: string
  }
  interface FastifyRequest {
    /** Of this request; empty until something is to be traced. */
    traceparent: string
    /** What was sent so far of an answer whose length nobody knows. */
    streamedBytes?: number
  }
  interface FastifyContextConfig {
    /** Probes: their log lines are at debug. */
    quiet?: boolean
  }
}

/** Who asks, for the use cases that carry it on. */
export function contextOf(request: FastifyRequest): RequestContext {
  request.traceparent ||= continueTrace(request.headers.traceparent?.toString())
  return { requestId: request.id, traceparent: request.traceparent }
}
