// A page of a list, in one statement.

import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import { MAX_TOTAL, type ProductListQuery } from './product-list.ts'
import { and, type Conditions, conditionsOf } from './product-list-conditions.ts'
import { asFarAsNeeded, orderOf, type PageParts } from './product-list-order.ts'
import { orderedPage, searchedPage } from './product-list-pages.ts'
import { rankedPage } from './product-list-ranked.ts'
import { isCommon, sample } from './product-list-sample.ts'
import { parseWords, searchQuery } from './product-list-words.ts'
import type { StoredProduct } from './product-store.ts'

/** The last three are set in the order of relevance only. */
export interface ListedProduct extends StoredProduct {
  rank: number
  newest_created_at: Timestamp
  newest_id: string
}

/** Beside a total, the columns of a product are null when there is none. */
type Row = (ListedProduct | { id: null }) & { total?: number }

const COUNTED = sql.lit(MAX_TOTAL + 1)

/** At most `limit` products after the given place, in order; the total stops one beyond `MAX_TOTAL`. */
export async function selectProducts(
  db: Executor,
  query: ProductListQuery,
): Promise<{ products: ListedProduct[]; total: number | undefined }> {
  const { rows } = await listStatement(query).execute(db)
  return {
    products: rows.filter((row): row is ListedProduct & Row => row.id !== null),
    total: rows[0]?.total,
  }
}

/** The statement of `selectProducts`. */
export function listStatement(query: ProductListQuery): RawBuilder<Row> {
  const { filter, sort, withTotal } = query
  const conditions = conditionsOf(filter, sort)
  const { ctes, page, order } = pageOf(query, conditions)
  const isSearch = conditions.test.length > 0
  if (sort === 'relevance' || (withTotal && isSearch)) ctes.unshift(sample(conditions))
  if (filter.words !== undefined)
    ctes.unshift(sql`words AS MATERIALIZED (${searchQuery(parseWords(filter.words))})`)
  const before = ctes.length > 0 ? sql`WITH ${sql.join(ctes)}` : sql``
  if (!withTotal) return sql`${before} ${page}`
  const matches = isSearch ? searchMatches(conditions) : scopeMatches(conditions)
  return sql`${before}
    SELECT * FROM (SELECT count(*) AS total FROM (${matches}) AS matches) AS counted
    LEFT JOIN (${page}) AS products ON true ORDER BY ${order}`
}

function pageOf(query: ProductListQuery, conditions: Conditions): PageParts {
  if (query.sort === 'relevance') return rankedPage(query, conditions)
  return conditions.test.length === 0
    ? orderedPage(query, conditions)
    : searchedPage(query, conditions)
}

function scopeMatches({ scope }: Conditions): RawBuilder<unknown> {
  return sql`SELECT FROM products WHERE ${and(...scope)} LIMIT ${COUNTED}`
}

function searchMatches({ scope, test, index, lookup }: Conditions): RawBuilder<unknown> {
  const { order } = orderOf({ sort: '-created_at' })
  return sql`
    (SELECT FROM (
       SELECT * FROM products WHERE ${and(...scope, isCommon)} ORDER BY ${order} ${asFarAsNeeded}) AS products
     WHERE ${and(...test)} LIMIT ${COUNTED})
    UNION ALL
    (SELECT FROM products WHERE ${and(...scope, ...test, ...index)} AND NOT ${isCommon} ${lookup} LIMIT ${COUNTED})`
}
