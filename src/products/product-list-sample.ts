// How common a filter's matches are: whoever needs many of them meets common ones soon by walking, and
// is led to rare ones by an index. For common ones an index would name a good part of the catalogue.

import { sql } from 'kysely'
import { and, type Conditions } from './product-list-conditions.ts'
import { orderOf } from './product-list-order.ts'

const SAMPLE = sql.lit(2_000)
/** 2.5 %: a walk to 10,000 matches reads 400,000 rows, an index leads to 25,000 of a million, which takes as long. */
const COMMON = sql.lit(50)

/** The CTE that looks at the newest products of the filter's scope. */
export function sample({ scope, test }: Conditions) {
  const { order } = orderOf({ sort: '-created_at' })
  return sql`sample AS MATERIALIZED (
    SELECT count(*) >= ${COMMON} AS is_common FROM (
      SELECT * FROM products WHERE ${and(...scope)} ORDER BY ${order} LIMIT ${SAMPLE}) AS products
    WHERE ${and(...test)})`
}

/** Beside the CTE: the condition of the one way, and with NOT of the other. */
export const isCommon = sql<boolean>`(SELECT is_common FROM sample)`
