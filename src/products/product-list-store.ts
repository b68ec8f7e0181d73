// One statement per page. What an index gives in the order asked for is read from there and no
// further than the page. The rest is bounded whatever the planner believes:
//
//   near      the next 1,000 rows of the order, tested one by one: enough for what is common
//   matching  else what the filter selects, by its own index, up to 10,000: enough for what is rare
//   further   else the order, read on until the page is full: what is not rare, but not near

import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../database/database.ts'
import type { Timestamp } from '../database/tables.ts'
import { MAX_TOTAL, type ProductListQuery, type ProductPosition } from './product-list.ts'
import { and, type Conditions, conditionsOf } from './product-list-conditions.ts'
import { rankedPage } from './product-list-ranked.ts'
import { parseWords, searchQuery } from './product-list-words.ts'
import { imagesJson, productColumns, type StoredProduct } from './product-store.ts'

/** `rank` and the newest match are set in the order of relevance only. */
export interface ListedProduct extends StoredProduct {
  rank: number
  newest_created_at: Timestamp
  newest_id: string
}

/** The columns of a product are null when there is none to be shown beside the total. */
type Row = (ListedProduct | { id: null }) & { total?: number }

const NEAR = 1_000

/** At most `limit` rows after the given place, in order; `total` stops counting above `MAX_TOTAL`. */
export async function selectProducts(
  db: Executor,
  query: ProductListQuery,
): Promise<{ rows: ListedProduct[]; total: number | undefined }> {
  const conditions = conditionsOf(query.filter, query.sort)
  const { ctes, page, order } = pageOf(query, conditions)
  const { words } = query.filter
  if (words !== undefined)
    ctes.unshift(sql`words AS MATERIALIZED (${searchQuery(parseWords(words))})`)
  const prefix = ctes.length > 0 ? sql`WITH ${sql.join(ctes)}` : sql``
  const statement = query.withTotal
    ? sql<Row>`${prefix} SELECT * FROM (${count(conditions)}) AS counted
        LEFT JOIN (${page}) AS products ON true ORDER BY ${order}`
    : sql<Row>`${prefix} ${page} ORDER BY ${order}`
  const { rows } = await statement.execute(db)
  return { rows: rows.filter((row) => row.id !== null), total: rows[0]?.total }
}

/** Parts of a statement: what stands before it, the page without its order, and the order. */
export interface PageParts {
  ctes: RawBuilder<unknown>[]
  page: RawBuilder<unknown>
  order: RawBuilder<unknown>
}

function pageOf(query: ProductListQuery, conditions: Conditions): PageParts {
  if (query.sort === 'relevance') return rankedPage(query, conditions)
  return conditions.test.length === 0
    ? orderedPage(query, conditions)
    : searchedPage(query, conditions)
}

function orderedPage(query: ProductListQuery, { scope }: Conditions): PageParts {
  const { order, after } = orderOf(query)
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM products
    WHERE ${and(...scope, ...after)} ORDER BY ${order} LIMIT ${query.limit}`
  return { ctes: [], page: sql`SELECT * FROM (${page}) AS products`, order }
}

function searchedPage(
  query: ProductListQuery,
  { scope, test, index }: Conditions,
): PageParts {
  const { limit } = query
  const { place, order, after } = orderOf(query)
  const nearCount = sql`(SELECT count(*) FROM near)`
  const matchingCount = sql`(SELECT count(*) FROM matching)`
  // The fences, LIMIT and OFFSET, keep the planner from doing something else instead.
  const near = sql`near AS MATERIALIZED (
    SELECT ${place} FROM (
      SELECT * FROM products WHERE ${and(...scope, ...after)} ORDER BY ${order} LIMIT ${sql.lit(NEAR)}) AS products
    WHERE ${and(...test)} ORDER BY ${order} LIMIT ${limit})`
  const matching = sql`matching AS MATERIALIZED (
    SELECT ${place} FROM products
    WHERE ${and(...scope, ...test, ...index)} AND ${nearCount} < ${limit} LIMIT ${sql.lit(MAX_TOTAL + 1)})`
  const found = sql`found AS (
    SELECT id FROM near WHERE ${nearCount} = ${limit}
    UNION ALL
    (SELECT id FROM matching AS products
     WHERE ${nearCount} < ${limit} AND ${matchingCount} <= ${sql.lit(MAX_TOTAL)} AND ${and(...after)}
     ORDER BY ${order} LIMIT ${limit})
    UNION ALL
    (SELECT id FROM (
       SELECT * FROM products WHERE ${and(...scope, ...after)} AND ${matchingCount} > ${sql.lit(MAX_TOTAL)}
       ORDER BY ${order} OFFSET 0) AS products
     WHERE ${and(...test)} ORDER BY ${order} LIMIT ${limit}))`
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM found JOIN products ON products.id = found.id`
  return { ctes: [near, matching, found], page, order }
}

/** Every part of it reads a row as `products`, whichever table that is. */
function orderOf({ sort, after }: ProductListQuery) {
  const [column, type] = columnOf(sort)
  const key = type === 'text' ? sql`${column} COLLATE "C"` : column
  const direction = sort.startsWith('-') ? sql`DESC` : sql`ASC`
  return {
    place: sql`products.id, ${column}`,
    order: sql`${key} ${direction}, products.id ${direction}`,
    after: after ? [isAfter([key, sql`products.id`], { sort, after, types: [type, 'uuid'] })] : [],
  }
}
