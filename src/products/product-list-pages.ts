// Pages by date, price or name. What an index gives in the order asked for is read from there, no
// further than the page. The rest is bounded whatever the planner believes of it:
//
//   near      the next 2,000 rows of the order, looked at one by one: enough for what is common
//   matching  else all that the filter selects, by its own index, up to 5,000 (by name 50,000): enough for
//             what is rare
//   further   else the order, on and on until the page is full: neither rare nor near

import { sql } from 'kysely'
import { imagesJson } from '../images/image-store.ts'
import type { ProductListQuery } from './product-list.ts'
import { and, type Conditions } from './product-list-conditions.ts'
import { asFarAsNeeded, keyOf, orderOf, type PageParts } from './product-list-order.ts'
import { productColumns } from './product-store.ts'

/** 20 of these are one page of a filter that one row in a hundred meets. */
const NEAR = sql.lit(2_000)
/** Of a million rows, those of a filter met by more of them are met every 200 rows of a walk. */
const RARE = 5_000
/**
 * In the order of names what shares a word stands together, and may begin at the far end: 12,500 oak chairs
 * of a million products were met after a walk of 1.1 s, and are looked up in 40 ms.
 */
const RARE_BY_NAME = 50_000

/** Of a filter that the index of the order answers alone. */
export function orderedPage(query: ProductListQuery, { scope }: Conditions): PageParts {
  const { order, after } = orderOf(query)
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM products
    WHERE ${and(...scope, ...after)} ORDER BY ${order} LIMIT ${query.limit}`
  return { ctes: [], page, order }
}

/** Of any filter. A subquery with a limit is a fence: the planner does not move conditions across it. */
export function searchedPage(query: ProductListQuery, conditions: Conditions): PageParts {
  const { limit } = query
  const { scope, test, index, lookup } = conditions
  const { columns, order, after } = orderOf(query)
  const rare = keyOf(query.sort) === 'name' ? RARE_BY_NAME : RARE
  const isFull = sql`(SELECT count(*) FROM near) = ${limit}`
  const isRare = sql`(SELECT count(*) FROM matching) <= ${sql.lit(rare)}`
  const near = sql`near AS MATERIALIZED (
    SELECT ${columns} FROM (
      SELECT * FROM products WHERE ${and(...scope, ...after)}
      ORDER BY ${order} LIMIT ${NEAR}) AS products
    WHERE ${and(...test)} ORDER BY ${order} LIMIT ${limit})`
  const matching = sql`matching AS MATERIALIZED (
    SELECT ${columns} FROM products
    WHERE ${and(...scope, ...test, ...index)} AND NOT ${isFull} ${lookup} LIMIT ${sql.lit(rare + 1)})`
  const further = sql`
    SELECT * FROM products WHERE ${and(...scope, ...after)} AND NOT ${isRare}
    ORDER BY ${order} ${asFarAsNeeded}`
  const found = sql`found AS (
    (SELECT products.id FROM near AS products WHERE ${isFull})
    UNION ALL
    (SELECT products.id FROM matching AS products WHERE NOT ${isFull} AND ${isRare} AND ${and(...after)}
     ORDER BY ${order} LIMIT ${limit})
    UNION ALL
    (SELECT products.id FROM (${further}) AS products WHERE ${and(...test)} LIMIT ${limit}))`
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM found JOIN products ON products.id = found.id
    ORDER BY ${order}`
  return { ctes: [near, matching, found], page, order }
}
