// Pages by date, price or name. What an index gives in the order asked for is read from there, no
// further than the page. The rest is looked for in steps, each bounded whatever the planner believes of it,
// and each only when those before did not come to a full page:
//
//   walk     the next rows of the order, tested one by one: enough for what is common
//   look up  all that the filter selects, by its own index: enough for what is rare
//
// What is left after the last step is neither near nor rare: the order is walked until the page is full.

import { type RawBuilder, sql } from 'kysely'
import { imagesJson } from '../images/image-store.ts'
import type { ProductListQuery } from './product-list.ts'
import { and, type Conditions } from './product-list-conditions.ts'
import { asFarAsNeeded, keyOf, orderOf, type PageParts } from './product-list-order.ts'
import { productColumns } from './product-store.ts'

/** `rows` are those that are walked at most, or up to which a filter's matches are looked up. */
export interface Step {
  readonly way: 'walk' | 'look up'
  readonly rows: number
}

/**
 * 20 of 2,000 rows are one page of a filter that one row in a hundred meets. What is met by more than 5,000
 * of a million rows is met every 200 rows of a walk.
 */
const STEPS: readonly Step[] = [
  { way: 'walk', rows: 2_000 },
  { way: 'look up', rows: 5_000 },
]
/**
 * In the order of names what shares a word stands together, and may begin at the far end: 12,500 oak chairs
 * of a million products were met after a walk of 1.1 s, and are looked up in 40 ms; 125,000 of ten million were not met
 * in 30 s. Where 50,000 are not many, what is spread is met by the second walk before so many are looked up.
 */
const STEPS_BY_NAME: readonly Step[] = [
  { way: 'walk', rows: 2_000 },
  { way: 'look up', rows: 50_000 },
  { way: 'walk', rows: 50_000 },
  { way: 'look up', rows: 2_000_000 },
]

/** Of a filter that the index of the order answers alone. */
export function orderedPage(query: ProductListQuery, { scope }: Conditions): PageParts {
  const { order, after } = orderOf(query)
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM products
    WHERE ${and(...scope, ...after)} ORDER BY ${order} LIMIT ${query.limit}`
  return { ctes: [], page, order }
}

/** Of any filter. A subquery with a limit is a fence: the planner does not move conditions across it. */
export function searchedPage(
  query: ProductListQuery,
  conditions: Conditions,
  steps = keyOf(query.sort) === 'name' ? STEPS_BY_NAME : STEPS,
): PageParts {
  const { limit } = query
  const { scope, test, index, lookup } = conditions
  const { columns, order, after } = orderOf(query)
  const walk = (rows: RawBuilder<unknown>, isOver: RawBuilder<boolean>) => sql`
    SELECT ${columns} FROM (
      SELECT * FROM products WHERE ${and(...scope, ...after)} AND NOT ${isOver}
      ORDER BY ${order} LIMIT ${rows}) AS products
    WHERE ${and(...test)} ORDER BY ${order} LIMIT ${limit}`
  const lookUp = (rows: RawBuilder<unknown>, isOver: RawBuilder<boolean>) => sql`
    SELECT ${columns} FROM products
    WHERE ${and(...scope, ...test, ...index)} AND NOT ${isOver} ${lookup} LIMIT ${rows} + 1`

  const ctes: RawBuilder<unknown>[] = []
  const found: RawBuilder<unknown>[] = []
  let isOver = sql<boolean>`false`
  for (const [at, { way, rows }] of steps.entries()) {
    const name = sql.id(`step_${at}`)
    const bound = sql.lit(rows)
    const count = sql`(SELECT count(*) FROM ${name})`
    const isEnough =
      way === 'walk' ? sql<boolean>`${count} = ${limit}` : sql<boolean>`${count} <= ${bound}`
    ctes.push(sql`${name} AS MATERIALIZED (${(way === 'walk' ? walk : lookUp)(bound, isOver)})`)
    found.push(sql`
      (SELECT products.id FROM ${name} AS products
       WHERE NOT ${isOver} AND ${isEnough} AND ${and(...after)} ORDER BY ${order} LIMIT ${limit})`)
    isOver = sql<boolean>`(${isOver} OR ${isEnough})`
  }
  const further = sql`
    SELECT * FROM products WHERE ${and(...scope, ...after)} AND NOT ${isOver}
    ORDER BY ${order} ${asFarAsNeeded}`
  found.push(
    sql`(SELECT products.id FROM (${further}) AS products WHERE ${and(...test)} LIMIT ${limit})`,
  )
  ctes.push(sql`found AS (${sql.join(found, sql` UNION ALL `)})`)
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM found JOIN products ON products.id = found.id
    ORDER BY ${order}`
  return { ctes, page, order }
}
