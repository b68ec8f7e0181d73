// A creation is planned once per session, not once per request.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { checkProduct } from '../../src/products/product-input.ts'
import { insertProduct } from '../../src/products/product-store.ts'
import { describeOnEachDatabase } from '../support/database.ts'
import { context, imageJob, newProduct } from '../support/products.ts'

const CREATIONS = 30
/** PostgreSQL compares so many plans for given values with one for any (plancache.c). */
const TRIALS = 5

describeOnEachDatabase('the plan of a creation', (engine) => {
  test('is made for any values', async () => {
    await using open = await engine.create()
    const plans = await open.database.transaction(async (tx) => {
      for (let n = 0; n < CREATIONS; n++) {
        const product_images = ['a', 'b', 'c'].slice(0, n % 3).map((x) => `https://o.example/${x}`)
        const key = { principal: 'p', key: `key ${n}`, fingerprint: 'f', keepMs: 1000 }
        const idempotency = n % 2 === 0 ? key : undefined
        const product = checkProduct(newProduct({ product_images }), () => undefined)
        await insertProduct(tx, product, { job: imageJob, context, idempotency })
      }
      const { rows } = await sql<{ generic: number; custom: number }>`
        SELECT generic_plans AS generic, custom_plans AS custom FROM pg_prepared_statements
        WHERE statement LIKE ${'%INSERT INTO idempotency_keys%'} AND generic_plans + custom_plans > 1`.execute(
        tx,
      )
      return rows
    })
    assert.deepEqual(plans, [{ generic: CREATIONS - TRIALS, custom: TRIALS }])
  })
})
