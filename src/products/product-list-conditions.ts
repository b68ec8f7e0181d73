// From a filter to the conditions of a statement, sorted by what they cost in a given order.

import { type RawBuilder, sql } from 'kysely'
import { type ProductFilter, type ProductSort, SHORTEST_NAME_SEARCH } from './product-list.ts'
import { sortKeys } from './product-list-order.ts'

type Condition = RawBuilder<boolean>

export interface Conditions {
  /** Part of the index that gives the order: they cost nothing. */
  scope: Condition[]
  /** For the others a row must be looked at. */
  test: Condition[]
  /** What follows from `test` and has an index of its own. */
  index: Condition[]
  /** Says which index `test` is to be looked up by, where the planner may come to another opinion. */
  lookup: RawBuilder<unknown>
}

/** Which of the filter's conditions the order's own index answers, and how the rest is found. */
export function conditionsOf(filter: ProductFilter, sort: ProductSort): Conditions {
  const { userId, nameContains: name, words } = filter
  const [prices, statuses] = [priceRange(filter), statusOf(filter)]
  const { key } = sortKeys[sort]
  const [isByPrice, isByDate] = [key === 'price', key === 'created_at']
  const isPriceAlone = !isByPrice && prices.length > 0 && statuses.length === 0
  return {
    scope: [
      ...(userId === undefined ? [] : [sql<boolean>`products.user_id = ${userId}`]),
      ...(isByPrice ? prices : []),
      ...(isByDate ? statuses : []),
    ],
    test: [
      ...(isByPrice ? [] : prices),
      ...(isByDate ? [] : statuses),
      ...(name === undefined ? [] : [holds(name)]),
      ...(words === undefined ? [] : [sql<boolean>`products.search @@ (SELECT query FROM words)`]),
    ],
    index: name === undefined ? [] : sharedTrigrams(name),
    // A plan that is kept for all prices takes any range for a third of the catalogue, and reads all of it.
    lookup:
      isPriceAlone && name === undefined && words === undefined
        ? sql`ORDER BY products.product_price`
        : sql``,
  }
}

function priceRange({ minPrice, maxPrice }: ProductFilter): Condition[] {
  const range: Condition[] = []
  if (minPrice !== undefined) range.push(sql`products.product_price >= ${minPrice}::numeric`)
  if (maxPrice !== undefined) range.push(sql`products.product_price <= ${maxPrice}::numeric`)
  return range
}

/** A literal: a plan that is kept for all statuses would take the few failed for a fourth of the catalogue. */
function statusOf({ status }: ProductFilter): Condition[] {
  return status === undefined ? [] : [sql`products.processing_status = ${sql.lit(status)}`]
}

function holds(part: string): Condition {
  return sql`products.product_name ILIKE ${`%${part.replace(/[\\%_]/g, '\\$&')}%`}`
}

/** By the expression of the index `products_name_trigrams`, where a letter stands for what is not one. */
function sharedTrigrams(part: string): Condition[] {
  if ([...part].length < SHORTEST_NAME_SEARCH) return []
  const lettersOf = (text: RawBuilder<unknown>) =>
    sql`regexp_replace(${text}, '[^[:alnum:]]', 'x', 'g')`
  const name = lettersOf(sql`products.product_name`)
  return [sql`${name} ILIKE '%' || ${lettersOf(sql`${part}::text`)} || '%'`]
}

/** All of them; `true` when there are none. */
export function and(...conditions: readonly Condition[]): Condition {
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` AND `)
}
