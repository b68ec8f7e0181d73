// A page of a list, in one statement.

import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../database/database.ts'
import type { Timestamp } from '../database/tables.ts'
import { MAX_TOTAL, type ProductListQuery } from './product-list.ts'
import { and, type Conditions, conditionsOf } from './product-list-conditions.ts'
import type { PageParts } from './product-list-order.ts'
import { orderedPage, searchedPage } from './product-list-pages.ts'
import { rankedPage } from './product-list-ranked.ts'
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

/** At most `limit` products after the given place, in order; the total is not counted beyond one more than `MAX_TOTAL`. */
export async function selectProducts(
  db: Executor,
  query: ProductListQuery,
): Promise<{ products: ListedProduct[]; total: number | undefined }> {
  const { rows } = await statementOf(query).execute(db)
  return {
    products: rows.filter((row): row is ListedProduct & Row => row.id !== null),
    total: rows[0]?.total,
  }
}

function statementOf(query: ProductListQuery): RawBuilder<Row> {
  const { words } = query.filter
  const conditions = conditionsOf(query.filter, query.sort)
  const { ctes, page, order } = pageOf(query, conditions)
  if (words !== undefined)
    ctes.unshift(sql`words AS MATERIALIZED (${searchQuery(parseWords(words))})`)
  const before = ctes.length > 0 ? sql`WITH ${sql.join(ctes)}` : sql``
  if (!query.withTotal) return sql`${before} ${page}`
  return sql`${before}
    SELECT * FROM (${count(conditions)}) AS counted LEFT JOIN (${page}) AS products ON true
    ORDER BY ${order}`
}

function pageOf(query: ProductListQuery, conditions: Conditions): PageParts {
  if (query.sort === 'relevance') return rankedPage(query, conditions)
  return conditions.test.length === 0
    ? orderedPage(query, conditions)
    : searchedPage(query, conditions)
}

function count({ scope, test, index }: Conditions): RawBuilder<{ total: number }> {
  return sql`
    SELECT count(*) AS total FROM (
      SELECT FROM products WHERE ${and(...scope, ...test, ...index)}
      LIMIT ${sql.lit(MAX_TOTAL + 1)}) AS products`
}
