// From a filter to the conditions of a statement, sorted by what they cost in a given order.

import { type RawBuilder, sql } from 'kysely'
import type { ProductFilter, ProductSort } from './product-list.ts'

type Condition = RawBuilder<boolean>

export interface Conditions {
  /** Part of the index that gives the order: they cost nothing. */
  scope: Condition[]
  /** For the others a row must be looked at. */
  test: Condition[]
  /** What follows from `test` and has an index of its own. */
  index: Condition[]
}

/** A trigram index answers for three characters and more; for fewer it would read all of itself. */
export const SHORTEST_INDEXED_NAME = 3

export function conditionsOf(filter: ProductFilter, sort: ProductSort): Conditions {
  const { userId, nameContains, words, status } = filter
  const conditions: Conditions = { scope: [], test: [], index: [] }
  const { scope, test, index } = conditions
  if (userId !== undefined) scope.push(sql`products.user_id = ${userId}`)
  if (status !== undefined) {
    const isIndexed = /created_at|relevance/.test(sort)
    ;(isIndexed ? scope : test).push(sql`products.processing_status = ${status}`)
  }
  ;(/price/.test(sort) ? scope : test).push(...priceRange(filter))
  if (nameContains !== undefined) {
    test.push(sql`products.product_name ILIKE ${`%${escapeLike(nameContains)}%`}`)
    if ([...nameContains].length >= SHORTEST_INDEXED_NAME) index.push(sharesTrigrams(nameContains))
  }
  if (words !== undefined) test.push(sql`products.search @@ (SELECT query FROM words)`)
  return conditions
}

function priceRange({ minPrice, maxPrice }: ProductFilter): Condition[] {
  const range: Condition[] = []
  if (minPrice !== undefined) range.push(sql`products.product_price >= ${minPrice}::numeric`)
  if (maxPrice !== undefined) range.push(sql`products.product_price <= ${maxPrice}::numeric`)
  return range
}

function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&')
}

/** The expression of the index `products_name_trigrams`, where a letter stands for what is not one. */
function sharesTrigrams(part: string): Condition {
  const lettersOf = (text: RawBuilder<unknown>) =>
    sql`regexp_replace(${text}, '[^[:alnum:]]', 'x', 'g')`
  return sql`${lettersOf(sql`products.product_name`)} ILIKE '%' || ${lettersOf(sql`${part}::text`)} || '%'`
}

/** All of them; `true` when there are none. */
export function and(...conditions: readonly Condition[]): Condition {
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` AND `)
}
