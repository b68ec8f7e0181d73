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
import {
  asFarAsNeeded,
  type Order,
  orderOf,
  type PageParts,
  sortKeys,
} from './product-list-order.ts'
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

/**
 * Of any filter. A subquery with a limit is a fence: the planner does not move conditions across it. With `STEPS`, where
 * `after` is the place where the page before ended, and `true` on the first one:
 *
 *     WITH step_0 AS MATERIALIZED (                                          -- walk
 *       SELECT id, key FROM (
 *         SELECT * FROM products WHERE scope AND after AND NOT false
 *         ORDER BY key, id LIMIT 2000) AS products
 *       WHERE test ORDER BY key, id LIMIT 20),
 *     step_1 AS MATERIALIZED (                                               -- look up
 *       SELECT id, key FROM products
 *       WHERE scope AND test AND index AND NOT (false OR enough_0) LIMIT 5000 + 1),
 *     found AS (
 *       (SELECT id FROM step_0 WHERE NOT false AND enough_0 AND after ORDER BY key, id LIMIT 20)
 *       UNION ALL
 *       (SELECT id FROM step_1 WHERE NOT (false OR enough_0) AND enough_1 AND after ORDER BY key, id LIMIT 20)
 *       UNION ALL
 *       (SELECT id FROM (
 *          SELECT * FROM products WHERE scope AND after AND NOT ((false OR enough_0) OR enough_1)
 *          ORDER BY key, id LIMIT all) AS products
 *        WHERE test LIMIT 20))
 *     SELECT … FROM found JOIN products USING (id) ORDER BY key, id
 *
 * `enough_0` is `(SELECT count(*) FROM step_0) = 20`: a full page. `enough_1` is `(SELECT count(*) FROM step_1) <= 5000`:
 * all there are. What stands behind a NOT that is false is not run.
 */
export function searchedPage(
  query: ProductListQuery,
  conditions: Conditions,
  steps = sortKeys[query.sort].key === 'name' ? STEPS_BY_NAME : STEPS,
): PageParts {
  const search = { conditions, place: orderOf(query), limit: query.limit }
  const { order } = search.place
  const inTurn = steps.map((step, at) => stepOf(step, at, query.limit))
  /** Whether one of the steps before this one was enough. */
  const isOverBefore = (at: number) =>
    inTurn
      .slice(0, at)
      .reduce((isOver, { isEnough }) => sql`(${isOver} OR ${isEnough})`, sql<boolean>`false`)
  const found = sql.join(
    [
      ...inTurn.map((step, at) => foundBy(step, isOverBefore(at), search)),
      foundFurther(isOverBefore(steps.length), search),
    ],
    sql` UNION ALL `,
  )
  const page = sql`
    SELECT ${productColumns}, ${imagesJson} FROM found JOIN products ON products.id = found.id
    ORDER BY ${order}`
  return {
    ctes: [
      ...inTurn.map((step, at) => stepCte(step, isOverBefore(at), search)),
      sql`found AS (${found})`,
    ],
    page,
    order,
  }
}

interface Search {
  readonly conditions: Conditions
  readonly place: Order
  readonly limit: number
}

interface StepInTurn extends Step {
  readonly name: RawBuilder<unknown>
  readonly isEnough: RawBuilder<boolean>
}

function stepOf(step: Step, at: number, limit: number): StepInTurn {
  const name = sql.id(`step_${at}`)
  const count = sql`(SELECT count(*) FROM ${name})`
  const isEnough =
    step.way === 'walk'
      ? sql<boolean>`${count} = ${limit}`
      : sql<boolean>`${count} <= ${sql.lit(step.rows)}`
  return { ...step, name, isEnough }
}

function stepCte(step: StepInTurn, isOver: RawBuilder<boolean>, search: Search) {
  const way = step.way === 'walk' ? walk : lookUp
  return sql`${step.name} AS MATERIALIZED (${way(sql.lit(step.rows), isOver, search)})`
}

function walk(rows: RawBuilder<unknown>, isOver: RawBuilder<boolean>, search: Search) {
  const { scope, test } = search.conditions
  const { columns, order, after } = search.place
  return sql`
    SELECT ${columns} FROM (
      SELECT * FROM products WHERE ${and(...scope, ...after)} AND NOT ${isOver}
      ORDER BY ${order} LIMIT ${rows}) AS products
    WHERE ${and(...test)} ORDER BY ${order} LIMIT ${search.limit}`
}

function lookUp(rows: RawBuilder<unknown>, isOver: RawBuilder<boolean>, search: Search) {
  const { scope, test, index, lookup } = search.conditions
  return sql`
    SELECT ${search.place.columns} FROM products
    WHERE ${and(...scope, ...test, ...index)} AND NOT ${isOver} ${lookup} LIMIT ${rows} + 1`
}

/** The page, when this step is the first that is enough. */
function foundBy({ name, isEnough }: StepInTurn, isOver: RawBuilder<boolean>, search: Search) {
  const { order, after } = search.place
  return sql`
      (SELECT products.id FROM ${name} AS products
       WHERE NOT ${isOver} AND ${isEnough} AND ${and(...after)} ORDER BY ${order} LIMIT ${search.limit})`
}

/** The page, when no step was enough. */
function foundFurther(isOver: RawBuilder<boolean>, { conditions, place, limit }: Search) {
  const { scope, test } = conditions
  const further = sql`
    SELECT * FROM products WHERE ${and(...scope, ...place.after)} AND NOT ${isOver}
    ORDER BY ${place.order} ${asFarAsNeeded}`
  return sql`(SELECT products.id FROM (${further}) AS products WHERE ${and(...test)} LIMIT ${limit})`
}
