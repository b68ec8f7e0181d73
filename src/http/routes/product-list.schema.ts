// Lists of products, as they are asked for and shown.

import { Type } from 'typebox'
import { processingStatuses } from '../../products/product.ts'
import { MAX_TOTAL, productSorts } from '../../products/product-list.ts'
import { MAX_NAME, MAX_USER_ID, product, withoutNul } from './products.schema.ts'

export const DEFAULT_LIMIT = 20
export const DEFAULT_SORT = '-created_at'

/** The longest name, written in escapes, in base64. */
const MAX_CURSOR = 2_000

/** A price as text, so that no decimal is lost on the way to the database. */
const decimal = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^\\d{1,10}(\\.\\d{1,6})?$',
      'x-expected': 'a decimal number such as 19.99',
      description,
      examples: ['50'],
    }),
  )

export const productQuery = Type.Object({
  user_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_USER_ID, ...withoutNul })),
  min_price: decimal('Inclusive.'),
  max_price: decimal('Inclusive.'),
  product_name: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_NAME,
      ...withoutNul,
      description:
        'Part of the name, in any case. Under 3 characters only together with `user_id`.',
    }),
  ),
  q: Type.Optional(
    Type.String({
      ...withoutNul,
      description:
        'A search in name and description: words in any form, the last one perhaps unfinished, `"a phrase"`, `-without`, `this or that`. Any text without NUL is valid; one without a word finds nothing, and of a very long one the beginning counts.',
      examples: ['oak chair -"folding chair"'],
    }),
  ),
  processing_status: Type.Optional(Type.Enum([...processingStatuses])),
  sort: Type.Optional(
    Type.Enum([...productSorts], {
      default: DEFAULT_SORT,
      description:
        '`-` is descending. Names are compared bytewise. `relevance`, the best match first, needs `q` and ranks its newest 10,000 matches.',
    }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_LIMIT })),
  cursor: Type.Optional(
    Type.String({
      maxLength: MAX_CURSOR,
      description: '`next_cursor` of the page before; with the same filter and sort.',
    }),
  ),
  include: Type.Optional(
    Type.Enum(['total'], { description: '`total`: how many products the filter selects.' }),
  ),
})

export const productPage = Type.Object({
  data: Type.Array(product),
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: 'Null on the last page.',
  }),
  total: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_TOTAL, description: 'With `include=total`.' }),
  ),
  total_is_minimum: Type.Optional(
    Type.Boolean({ description: 'True when there are more than were counted.' }),
  ),
})
