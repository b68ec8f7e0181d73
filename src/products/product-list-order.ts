// The place of a row in an order, in SQL. Whatever stands under the name `products` is read: the
// table, or what was selected from it.

import { type RawBuilder, sql } from 'kysely'
import type { ProductListQuery, ProductPosition, ProductSort } from './product-list.ts'

/** Parts of a statement: what stands before it, the page, and what the page is to be ordered by. */
export interface PageParts {
  ctes: RawBuilder<unknown>[]
  page: RawBuilder<unknown>
  order: RawBuilder<unknown>
}

export interface Order {
  /** The columns that the order and the place are made of. */
  columns: RawBuilder<unknown>
  order: RawBuilder<unknown>
  /** Whether a row comes after the given place: no condition on the first page. */
  after: RawBuilder<boolean>[]
}

const keys = {
  created_at: {
    column: sql`products.created_at`,
    key: sql`products.created_at`,
    type: 'timestamptz',
  },
  price: { column: sql`products.product_price`, key: sql`products.product_price`, type: 'numeric' },
  // Bytewise: the same on every engine, whatever its locale.
  name: {
    column: sql`products.product_name`,
    key: sql`products.product_name COLLATE "C"`,
    type: 'text',
  },
} as const

/**
 * What each sort compares, and which way. The place of a row by `relevance` is more than this (`product-list-ranked.ts`):
 * this is the order in which its matches are looked for.
 */
export const sortKeys = {
  '-created_at': { key: 'created_at', isDescending: true },
  created_at: { key: 'created_at', isDescending: false },
  product_price: { key: 'price', isDescending: false },
  '-product_price': { key: 'price', isDescending: true },
  product_name: { key: 'name', isDescending: false },
  '-product_name': { key: 'name', isDescending: true },
  relevance: { key: 'created_at', isDescending: true },
} as const satisfies Record<ProductSort, { key: keyof typeof keys; isDescending: boolean }>

/** Of every sort but `relevance`. */
export function orderOf({ sort, after }: Pick<ProductListQuery, 'sort' | 'after'>): Order {
  const { key: sorted, isDescending } = sortKeys[sort]
  const { column, key, type } = keys[sorted]
  const direction = isDescending ? sql`DESC` : sql`ASC`
  const beyond = isDescending ? sql`<` : sql`>`
  const place = sql`(${key}, products.id)`
  return {
    columns: sql`products.id, ${column}`,
    order: sql`${key} ${direction}, products.id ${direction}`,
    after: after ? [sql`${place} ${beyond} ${values(after, [type, 'uuid'])}`] : [],
  }
}

/** A row of values that are compared as these types. */
export function values(position: ProductPosition, types: readonly string[]): RawBuilder<unknown> {
  return sql`(${sql.join(types.map((type, at) => sql`${position[at]}::${sql.raw(type)}`))})`
}

/**
 * Ends an ordered subquery that is read, in its order, until enough was found in it. Of a limit that it
 * cannot know the planner expects a tenth of the rows to be read, and so takes them from the index one
 * by one instead of sorting all of them first.
 */
export const asFarAsNeeded = sql`LIMIT (SELECT 9223372036854775807)`
