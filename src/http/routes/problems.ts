// What the `type` of a problem leads to: what its code means, and what to do about it.

import type { ProblemCode } from '../../errors.ts'
import type { App } from '../app.ts'
import { notFound } from '../methods.ts'
import { isProblemCode, narrowerStatusesOf, statuses, titles } from '../problem.ts'
import { answers, problemKindSchema, problemParams } from './problems.schema.ts'

const guide = {
  malformed_json: {
    meaning: 'The body of the request cannot be parsed as JSON, or is not encoded in UTF-8.',
    remedy:
      'Correct the body at the position that `detail` names. Sending it again as it is will not help.',
  },
  invalid_input: {
    meaning:
      'The request can be read, but something in it breaks a rule. With 408, it did not arrive in time; with 416, the file has no such part; with 417, it expects what the service does not know.',
    remedy:
      'Correct each field in `errors`: `pointer` says where it is, `code` which rule it breaks. The rules are in /openapi.json.',
  },
  cursor_mismatch: {
    meaning: 'The cursor was made for a list with another filter.',
    remedy: 'Keep the filter while paging, or start again without `cursor`.',
  },
  invalid_cursor: {
    meaning: 'The cursor is damaged, or was not made by this service.',
    remedy: 'Send `next_cursor` back exactly as it was given, or start again without `cursor`.',
  },
  not_found: {
    meaning: 'Nothing is at this address: it never was, or it was deleted.',
    remedy: 'Check the id and the path.',
  },
  method_not_allowed: {
    meaning: 'There is something at this address, but not for this method.',
    remedy: 'Use a method that the `Allow` header names.',
  },
  conflict: {
    meaning:
      'What is asked for cannot be done in the present state, for example while a picture is being processed.',
    remedy: 'Read the resource again and repeat the request when its state allows it.',
  },
  stale_version: {
    meaning: 'The product was edited since the version that `If-Match` names.',
    remedy: 'Read the product again, apply the change to what it is now, and send its new `ETag`.',
  },
  idempotency_key_reused: {
    meaning: 'The `Idempotency-Key` was sent before with another body.',
    remedy: 'Use a new key for a new request; repeat a request with the same body only.',
  },
  too_large: {
    meaning:
      'The body (413), the address (414) or the header fields (431) are larger than the service accepts.',
    remedy: 'Send less. A body may have 1 MiB.',
  },
  unsupported_media_type: {
    meaning: 'The body has a format, character set or compression that the service does not read.',
    remedy: 'Send `Content-Type: application/json`, in UTF-8, without Content-Encoding.',
  },
  internal: {
    meaning: 'A defect of the service. The log has what happened under the request id.',
    remedy:
      'Report the `request_id`. A GET may be repeated; before repeating a write, look whether it took effect.',
  },
  unavailable: {
    meaning: 'Something that the service depends on does not answer at the moment.',
    remedy:
      'Repeat the request after the seconds that `Retry-After` names. A write may have taken effect all the same: repeat a creation with its `Idempotency-Key`, a change with its `If-Match`. /health says what is missing.',
  },
} as const satisfies Record<ProblemCode, { meaning: string; remedy: string }>

export function registerProblemRoutes(app: App): void {
  app.get(
    '/problems/:code',
    {
      schema: {
        tags: ['service'],
        operationId: 'getProblemKind',
        summary: 'What an error code means and what to do',
        params: problemParams,
        response: answers({ 200: problemKindSchema }, 'not_found'),
      },
    },
    (request, reply) => {
      const { code } = request.params
      if (!isProblemCode(code)) throw notFound()
      reply.header('cache-control', 'public, max-age=3600')
      return reply.send({
        code,
        status: statuses[code],
        narrower_statuses: narrowerStatusesOf(code),
        title: titles[code],
        ...guide[code],
      })
    },
  )
}
