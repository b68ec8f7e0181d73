// What the schema itself forbids, whatever the code above it does.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type RawBuilder, sql } from 'kysely'
import { describeOnEachDatabase, type TestDatabase } from '../support/database.ts'

const CHECK = '23514'
const UNIQUE = '23505'
const FOREIGN_KEY = '23503'

const product = '0199f3c2-0000-7000-8000-000000000001'
const first = '0199f3c2-0000-7000-8000-000000000002'
const second = '0199f3c2-0000-7000-8000-000000000003'
const claim = '0199f3c2-0000-7000-8000-000000000004'

describeOnEachDatabase('the schema', (engine) => {
  let open: TestDatabase
  before(async () => {
    open = await engine.create()
    const { db } = open.database
    await sql`INSERT INTO users (id) VALUES ('someone')`.execute(db)
    await sql`INSERT INTO products (id, user_id, product_name, product_price)
      VALUES (${product}, 'someone', 'Lamp', 19.99)`.execute(db)
    await sql`INSERT INTO images (id, product_id, position, source_url, max_attempts)
      VALUES (${first}, ${product}, 0, 'https://example.com/1.jpg', 8),
             (${second}, ${product}, 1, 'https://example.com/2.jpg', 8)`.execute(db)
    await sql`INSERT INTO jobs (id, name, key, payload, lane, max_attempts)
      VALUES (${first}, 'image.process', ${first}, '{}', 'someone', 8)`.execute(db)
  })
  after(() => open[Symbol.asyncDispose]())

  const refused: [string, string, RawBuilder<unknown>][] = [
    ['a negative price', CHECK, sql`UPDATE products SET product_price = -0.01`],
    ['a product without a name', CHECK, sql`UPDATE products SET product_name = ''`],
    ['a name of 201 characters', CHECK, sql`UPDATE products SET product_name = repeat('ž', 201)`],
    ['a product of nobody', FOREIGN_KEY, sql`UPDATE products SET user_id = 'nobody'`],
    ['more edits than versions', CHECK, sql`UPDATE products SET edit = version + 1`],
    ['two pictures in one place', UNIQUE, sql`UPDATE images SET position = 0`],
    [
      'a ready picture without its results',
      CHECK,
      sql`UPDATE images SET status = 'ready', width = 1, height = 1 WHERE id = ${first}`,
    ],
    ['a failure without a reason', CHECK, sql`UPDATE images SET status = 'failed'`],
    [
      'a retry without a time',
      CHECK,
      sql`UPDATE images SET status = 'retry_scheduled', error = '{}'`,
    ],
    ['a time of retry without a retry', CHECK, sql`UPDATE images SET next_attempt_at = now()`],
    ['a status that there is not', CHECK, sql`UPDATE images SET status = 'done'`],
    [
      'two jobs for one picture',
      UNIQUE,
      sql`INSERT INTO jobs (id, name, key, payload, lane, max_attempts)
        VALUES (${second}, 'image.process', ${first}, '{}', 'someone', 8)`,
    ],
    [
      'a running job without a lease',
      CHECK,
      sql`UPDATE jobs SET state = 'running', claim = ${claim}`,
    ],
    [
      'a lease on a job that waits',
      CHECK,
      sql`UPDATE jobs SET claim = ${claim},
        lease_until = now(), worker = 'w'`,
    ],
    ['a dead job without a death', CHECK, sql`UPDATE jobs SET state = 'dead', finished_at = now()`],
    ['an end without its time', CHECK, sql`UPDATE jobs SET state = 'done'`],
    [
      'a bell for a job that does not wait',
      CHECK,
      sql`UPDATE jobs SET state = 'done', finished_at = now(), ring_again_at = now()`,
    ],
    ['a second store', CHECK, sql`INSERT INTO store (id) VALUES (2)`],
    ['a second announcer', CHECK, sql`INSERT INTO announcer (id, lane) VALUES (2, '')`],
  ]
  for (const [what, code, statement] of refused)
    test(`${what} is refused`, async () => {
      await assert.rejects(statement.execute(open.database.db), { code })
    })

  test('one statement may swap two pictures', async () => {
    const { db } = open.database
    await sql`UPDATE images SET position = 1 - position`.execute(db)
    const { rows } = await sql`SELECT id FROM images ORDER BY position`.execute(db)
    assert.deepEqual(rows, [{ id: second }, { id: first }])
  })

  test('two ready objects of one source and recipe are refused, two being stored are not', async () => {
    const { db } = open.database
    const store = (state: string) =>
      sql`INSERT INTO objects (key, source_sha256, recipe, state, width, height, bytes, format, thumbhash)
        VALUES (gen_random_uuid()::text, ${'a'.repeat(64)}, 'default', ${state}, 1, 1, 1, 'jpeg', '')`.execute(
        db,
      )
    await store('storing')
    await store('storing')
    await store('ready')
    await assert.rejects(store('ready'), { code: UNIQUE })
  })

  test('an object that a rendition shows cannot go, and deleting the product frees it', async () => {
    const { db } = open.database
    await sql`
      INSERT INTO renditions (image_id, preset, object_id)
      SELECT ${first}, 'default', id FROM objects LIMIT 1`.execute(db)
    await assert.rejects(sql`DELETE FROM objects`.execute(db), { code: FOREIGN_KEY })
    await sql`DELETE FROM products`.execute(db)
    await sql`DELETE FROM objects`.execute(db)
    const { rows } = await sql`SELECT id FROM images`.execute(db)
    assert.deepEqual(rows, [])
  })
})
