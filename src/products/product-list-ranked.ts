// Pages by relevance: the newest 10,000 matches, ranked.

import { sql } from 'kysely'
import { imagesJson } from '../images/image-store.ts'
import type { ProductListQuery, ProductPosition } from './product-list.ts'
import { and, type Conditions } from './product-list-conditions.ts'
import { asFarAsNeeded, orderOf, type PageParts, values } from './product-list-order.ts'
import { isCommon } from './product-list-sample.ts'
import { productColumns } from './product-store.ts'

const RANKED = sql.lit(10_000)

const { order: newestFirst } = orderOf({ sort: '-created_at' })
const bestFirst = sql`rank DESC, ${newestFirst}`

/** The filter must have words, and the statement the CTEs `words` and `sample`. */
export function rankedPage({ limit, after }: ProductListQuery, conditions: Conditions): PageParts {
  // Short texts weigh a word more than long ones.
  const ranked = sql`ranked AS MATERIALIZED (
    SELECT products.id, products.created_at, ts_rank(products.search, words.query, 1) AS rank
    FROM (${newestMatches(conditions, after)}) AS products, words)`
  const newest = sql`newest AS (
    SELECT products.created_at AS newest_created_at, products.id AS newest_id FROM ranked AS products
    ORDER BY ${newestFirst} LIMIT 1)`
  const isAfter = after
    ? sql<boolean>`(rank, products.created_at, products.id) < ${values(after, ['real', 'timestamptz', 'uuid'])}`
    : sql<boolean>`true`
  const found = sql`found AS (
    SELECT products.id, rank FROM ranked AS products WHERE ${isAfter}
    ORDER BY ${bestFirst} LIMIT ${limit})`
  const page = sql`
    SELECT ${productColumns}, ${imagesJson}, found.rank, newest.*
    FROM found JOIN products ON products.id = found.id, newest ORDER BY ${bestFirst}`
  return { ctes: [ranked, newest, found], page, order: bestFirst }
}

/** Later pages rank what the first one ranked: what came since would push others out. */
function newestMatches({ scope, test, index }: Conditions, after: ProductPosition | undefined) {
  const asOf = after
    ? sql<boolean>`(products.created_at, products.id) <= ${values(after.slice(3), ['timestamptz', 'uuid'])}`
    : sql<boolean>`true`
  const columns = sql`products.id, products.created_at, products.search`
  const walked = sql`
    SELECT ${columns} FROM (
      SELECT * FROM products WHERE ${and(...scope, asOf, isCommon)}
      ORDER BY ${newestFirst} ${asFarAsNeeded}) AS products
    WHERE ${and(...test)} LIMIT ${RANKED}`
  const lookedUp = sql`
    SELECT ${columns} FROM (
      SELECT ${columns} FROM products
      WHERE ${and(...scope, ...test, ...index, asOf)} AND NOT ${isCommon} OFFSET 0) AS products
    ORDER BY ${newestFirst} LIMIT ${RANKED}`
  return sql`(${walked}) UNION ALL (${lookedUp})`
}
