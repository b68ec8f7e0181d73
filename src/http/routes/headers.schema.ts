// The header fields of answers, as the description shows them.

import { Type } from 'typebox'
import { EXAMPLE_PRODUCT_ID } from './examples.ts'

export interface HeaderSchema {
  type: 'string'
  description?: string
  format?: string
  pattern?: string
  examples?: string[]
}

const text = (rules: Omit<HeaderSchema, 'type'>): HeaderSchema => ({ type: 'string', ...rules })

export const answerHeaders = {
  'X-Request-Id': text({
    description:
      "Finds the request in the log; the client's own, when it sent one that is fit for that.",
  }),
  ETag: text({
    description:
      'Which state of the resource this is: for `If-None-Match`, and of products for `If-Match`.',
    examples: ['"3-5-x1Yz0a"'],
  }),
  'Cache-Control': text({ examples: ['no-cache'] }),
  Vary: text({ examples: ['accept-encoding'] }),
  Location: text({
    format: 'uri-reference',
    description: 'The address of what was made, or of where it is.',
    examples: [`/api/v1/products/${EXAMPLE_PRODUCT_ID}`],
  }),
  'Content-Location': text({
    format: 'uri-reference',
    description: 'The address of what the answer shows.',
    examples: [`/api/v1/products/${EXAMPLE_PRODUCT_ID}`],
  }),
  Link: text({
    description:
      'The pages `next` and `first` (RFC 8288). Without `first` where both together are too long.',
    examples: [
      '</api/v1/products?limit=20&cursor=WyIy>; rel="next", </api/v1/products?limit=20>; rel="first"',
    ],
  }),
  Age: text({
    pattern: '^\\d+$',
    description:
      'Seconds. Only while the database cannot be reached: the answer may be as old as this.',
    examples: ['12'],
  }),
  'Idempotency-Replayed': text({
    description: '`true`: an earlier request with this key made the product.',
    examples: ['true'],
  }),
  'Preference-Applied': text({
    description: 'The wait that `Prefer` asked for, as it was granted.',
    examples: ['wait=10'],
  }),
  'Retry-After': text({
    pattern: '^\\d+$',
    description: 'Seconds after which another try makes sense.',
    examples: ['5'],
  }),
  'Accept-Ranges': text({ examples: ['bytes'] }),
  'Content-Range': text({
    description: 'Which part of the file this is.',
    examples: ['bytes 0-1023/92133'],
  }),
} satisfies Record<string, HeaderSchema>

export type AnswerHeader = keyof typeof answerHeaders

/** A body together with the header fields that come with it. */
export interface AnswerWithHeaders {
  body: object
  headers: readonly AnswerHeader[]
}

/** Names the header fields of an answer, beside `X-Request-Id` and `Retry-After`, which go without saying. */
export function withHeaders(body: object, ...headers: AnswerHeader[]): AnswerWithHeaders {
  return { body, headers }
}

/** What a GET with `If-None-Match` may be answered. */
export const notModified = withHeaders(
  Type.Null({ description: 'What the client has is what it would get.' }),
  'ETag',
)
