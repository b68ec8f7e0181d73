// Pages by relevance: the newest 10,000 matches, ranked. A common word is met by walking from the
// newest product on, a rare one by its index: the newest 2,000 tell which it is.

import { sql } from 'kysely'
import type { ProductListQuery } from './product-list.ts'
import { and, type Conditions } from './product-list-conditions.ts'
import { orderOf, type PageParts, values } from './product-list-order.ts'
import { imagesJson, productColumns } from './product-store.ts'

const RANKED = sql.lit(10_000)
const SAMPLE = sql.lit(2_000)
/** 5 %: the walk reads 200,000 rows at most, and of a million rows the index leads to 50,000. */
const COMMON = sql.lit(100)

/** The filter must have words. */
export function rankedPage(
  { limit, after }: ProductListQuery,
  { scope, test, index }: Conditions,
): PageParts {
  const { order: newestFirst } = orderOf({ sort: '-created_at' })
  const order = sql`rank DESC, ${newestFirst}`
  // Later pages rank what the first one ranked: what came since would push others out.
  const asOf = after
    ? [
        sql<boolean>`(products.created_at, products.id) <= ${values(after.slice(3), ['timestamptz', 'uuid'])}`,
      ]
    : []
  const isAfter = after
    ? [
        sql<boolean>`(rank, products.created_at, products.id) < ${values(after, ['real', 'timestamptz', 'uuid'])}`,
      ]
    : []
  const isCommon = sql`(SELECT matches >= ${COMMON} FROM sample)`
  const columns = sql`products.id, products.created_at, products.search`
  const sample = sql`sample AS MATERIALIZED (
    SELECT count(*) AS matches FROM (
      SELECT * FROM products WHERE ${and(...scope, ...asOf)}
      ORDER BY ${newestFirst} LIMIT ${SAMPLE}) AS products
    WHERE ${and(...test)})`
  const walked = sql`
    SELECT ${columns} FROM (
      SELECT * FROM products WHERE ${and(...scope, ...asOf)} AND ${isCommon}
      ORDER BY ${newestFirst} OFFSET 0) AS products
    WHERE ${and(...test)} ORDER BY ${newestFirst} LIMIT ${RANKED}`
  const lookedUp = sql`
    SELECT ${columns} FROM (
      SELECT ${columns} FROM products
      WHERE ${and(...scope, ...test, ...index, ...asOf)} AND NOT ${isCommon} OFFSET 0) AS products
    ORDER BY ${newestFirst} LIMIT ${RANKED}`
  // Long texts weigh a word less than short ones.
  const ranked = sql`ranked AS MATERIALIZED (
    SELECT products.id, products.created_at, ts_rank(products.search, words.query, 1) AS rank
    FROM ((${walked}) UNION ALL (${lookedUp})) AS products, words)`
  const newest = sql`newest AS (
    SELECT products.created_at AS newest_created_at, products.id AS newest_id FROM ranked AS products
    ORDER BY ${newestFirst} LIMIT 1)`
  const found = sql`found AS (
    SELECT products.id, rank FROM ranked AS products WHERE ${and(...isAfter)}
    ORDER BY ${order} LIMIT ${limit})`
  const page = sql`
    SELECT ${productColumns}, ${imagesJson}, found.rank, newest.*
    FROM found JOIN products ON products.id = found.id, newest ORDER BY ${order}`
  return { ctes: [sample, ranked, newest, found], page, order }
}
