// Imports on real databases: they leave behind what single creations do, and exactly once.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { openDatabase } from '../../src/database/open.ts'
import { isUniqueViolation } from '../../src/database/sql-errors.ts'
import { AppError } from '../../src/errors.ts'
import {
  createImportStore,
  type ImportLine,
  type ImportProgress,
  importProducts,
} from '../../src/products/product-import.ts'
import { createImportBatch, insertProducts } from '../../src/products/product-import-store.ts'
import { type CheckedProduct, checkProduct } from '../../src/products/product-input.ts'
import { insertProduct } from '../../src/products/product-store.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { context, imageJob, newProduct } from '../support/products.ts'

const insertion = { job: imageJob, context }

function checked(changes: Parameters<typeof newProduct>[0] = {}): CheckedProduct {
  return checkProduct(newProduct(changes), () => undefined)
}

async function* linesOf(...products: ImportLine['product'][]): AsyncGenerator<ImportLine> {
  for (const [at, product] of products.entries()) {
    yield { number: at + 1, end: (at + 1) * 10, product }
  }
}

async function count(database: TestDatabase['database'], table: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*) FROM ${sql.table(table)}`.execute(database.db)
  return rows[0]?.count ?? 0
}

/** Every row of the catalogue, the ledger and the log, without what differs between two equal products. */
async function everything({ db }: TestDatabase['database'], userId: string): Promise<unknown> {
  const own = ['id', 'product_id', 'image_id', 'key', 'xid', 'payload', 'search']
  const rowsOf = async (name: string, condition: ReturnType<typeof sql>) => {
    const { rows } = await sql<Record<string, unknown>>`
      SELECT * FROM ${sql.table(name)} WHERE ${condition} ORDER BY id`.execute(db)
    return rows.map((row) => {
      const kept = Object.entries(row).filter(
        ([column]) => !own.includes(column) && !column.endsWith('_at') && column !== 'at',
      )
      return { ...Object.fromEntries(kept), payload: Object.keys((row.payload ?? {}) as object) }
    })
  }
  const ofUser = sql`user_id = ${userId}`
  return {
    products: await rowsOf('products', ofUser),
    images: await rowsOf('images', sql`product_id IN (SELECT id FROM products WHERE ${ofUser})`),
    jobs: await rowsOf('jobs', sql`lane = ${userId}`),
    events: await rowsOf('events', ofUser),
    keys: await sql`SELECT FROM jobs JOIN images ON images.id::text = jobs.key
      AND payload->>'imageId' = images.id::text AND payload->>'productId' = product_id::text
      AND payload->>'sourceUrl' = source_url WHERE lane = ${userId}`
      .execute(db)
      .then(({ rows }) => rows.length),
  }
}

describeOnEachDatabase('an import', (engine) => {
  let open: TestDatabase
  before(async () => {
    open = await engine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('leaves what as many creations leave', async () => {
    const { database } = open
    const products = (user_id: string) => [
      checked({ user_id, product_name: 'Ünï "quoted" {brace}, NULL', product_description: '\\' }),
      checked({ user_id, product_price: 9_999_999_999.99, product_images: [] }),
      checked({
        user_id,
        product_images: ['https://a.example/1', 'https://a.example/2', 'https://a.example/1'],
      }),
    ]
    for (const product of products('one')) {
      await insertProduct(database.db, product, { ...insertion, idempotency: undefined })
    }
    await insertProducts(database.db, createImportBatch(products('two')), insertion)
    const imported = JSON.stringify(await everything(database, 'two'))
    assert.deepEqual(
      JSON.parse(imported.replaceAll('"two"', '"one"')),
      await everything(database, 'one'),
    )
    assert.match(imported, /"keys":4/)
  })

  test('keeps the order of the lines, in ids and in the log', async () => {
    const { database } = open
    const names = Array.from({ length: 250 }, (_, at) => `ordered ${at}`)
    await insertProducts(
      database.db,
      createImportBatch(names.map((product_name) => checked({ product_name, user_id: 'ordered' }))),
      insertion,
    )
    for (const order of [sql`products.id`, sql`events.id`]) {
      const { rows } = await sql<{ product_name: string }>`
        SELECT product_name FROM products JOIN events ON product_id = products.id
        WHERE products.user_id = 'ordered' AND type = 'product.created' ORDER BY ${order}`.execute(
        database.db,
      )
      assert.deepEqual(
        rows.map((row) => row.product_name),
        names,
      )
    }
  })

  test('a batch that is sent again finds itself', async () => {
    const { database } = open
    const batch = createImportBatch([checked({ user_id: 'again' }), checked({ user_id: 'again' })])
    await insertProducts(database.db, batch, insertion)
    const before = await everything(database, 'again')
    await insertProducts(database.db, batch, insertion)
    assert.deepEqual(await everything(database, 'again'), before)
  })

  test('of a batch that cannot be stored nothing is', async () => {
    const { database } = open
    const sizes = await Promise.all(
      ['users', 'products', 'images', 'jobs', 'events'].map((table) => count(database, table)),
    )
    const impossible = { ...checked({ user_id: 'never' }), price: '-1' }
    await assert.rejects(
      insertProducts(
        database.db,
        createImportBatch([checked({ user_id: 'never' }), impossible]),
        insertion,
      ),
    )
    assert.deepEqual(
      await Promise.all(
        ['users', 'products', 'images', 'jobs', 'events'].map((table) => count(database, table)),
      ),
      sizes,
    )
  })
})

describeOnPostgres('imports at once', () => {
  let open: TestDatabase
  before(async () => {
    open = await postgresEngine.create()
  })
  after(() => open[Symbol.asyncDispose]())

  test('a batch that is sent twice at the same time is stored once', async () => {
    const { database } = open
    for (let round = 0; round < 20; round++) {
      const before = await count(database, 'products')
      const batch = createImportBatch(
        Array.from({ length: 50 }, () => checked({ user_id: `r${round}` })),
      )
      const outcomes = await Promise.allSettled(
        [1, 2, 3].map(() => insertProducts(database.db, batch, insertion)),
      )
      assert.ok(outcomes.some(({ status }) => status === 'fulfilled'))
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected')
          assert.ok(isUniqueViolation(outcome.reason), outcome.reason)
      }
      assert.equal((await count(database, 'products')) - before, 50)
    }
  })

  test('imports of the same new users in opposite orders do not wait for each other for ever', async () => {
    const { database } = open
    for (let round = 0; round < 20; round++) {
      const users = Array.from({ length: 200 }, (_, at) => `u${round}-${at}`)
      const batches = [users, users.toReversed(), users].map((names) =>
        createImportBatch(names.map((user_id) => checked({ user_id, product_images: [] }))),
      )
      await Promise.all(batches.map((batch) => insertProducts(database.db, batch, insertion)))
    }
  })

  test('sessions that are cut while it runs cost time, not products', async () => {
    const { database } = open
    const user_id = 'cut'
    await using own = await openDatabase(open.options)
    const killing = new AbortController()
    let cut = 0
    const killer = (async () => {
      while (!killing.signal.aborted) {
        const { rows } = await sql<{ cut: number }>`
          SELECT count(pg_terminate_backend(pid)) AS cut FROM pg_stat_activity
          WHERE datname = current_database() AND query LIKE '%WITH wanted%' AND state = 'active'
            AND pid <> pg_backend_pid()`.execute(database.db)
        cut += rows[0]?.cut ?? 0
        if (cut >= 3) return
      }
    })()
    const store = createImportStore({
      ...insertion,
      database: own,
      patienceMs: 60_000,
      signal: new AbortController().signal,
    })
    let batches = 0
    while (cut < 3 && batches < 500) {
      await store(Array.from({ length: 200 }, () => checked({ user_id })))
      batches++
    }
    killing.abort()
    await killer
    assert.ok(cut > 0, 'no session was cut')
    const { rows } = await sql<{ count: number }>`
      SELECT count(*) FROM products WHERE user_id = ${user_id}`.execute(database.db)
    assert.equal(rows[0]?.count, batches * 200)
  })
})

test('what was reached is always everything up to a line', async () => {
  const stored: number[] = []
  const told: ImportProgress[] = []
  const products = Array.from({ length: 2_500 }, (_, at) =>
    at % 5 === 4
      ? new AppError('invalid_input', 'no')
      : checked({ product_images: ['https://a.example/1'] }),
  )
  const refused: number[] = []
  await importProducts(linesOf(...products), {
    store: async (batch) => {
      // Reading goes on meanwhile, and must not move what this batch reaches.
      await new Promise((resolve) => setImmediate(resolve))
      stored.push(batch.length)
    },
    onRefused: (line) => refused.push(line),
    onProgress: (progress) => {
      const { line, products, refused, pictures, bytes } = progress
      assert.equal(products + refused, line)
      assert.equal(
        products,
        stored.reduce((sum, size) => sum + size, 0),
      )
      assert.deepEqual([pictures, bytes], [products, line * 10])
      told.push(progress)
    },
    signal: new AbortController().signal,
  })
  // A product and its picture are two rows.
  assert.deepEqual(stored, [500, 500, 500, 500])
  assert.deepEqual(told.at(-1), {
    line: 2_500,
    bytes: 25_000,
    products: 2_000,
    pictures: 2_000,
    refused: 500,
  })
  assert.deepEqual(
    refused,
    products.flatMap((product, at) => (product instanceof AppError ? [at + 1] : [])),
  )
})

test('large products make small batches', async () => {
  const stored: number[] = []
  const large = checked({ product_description: 'x'.repeat(10_000), product_images: [] })
  await importProducts(linesOf(...Array.from({ length: 450 }, () => large)), {
    store: async (batch) => void stored.push(batch.length),
    onRefused: () => {},
    onProgress: () => {},
    signal: new AbortController().signal,
  })
  assert.deepEqual(stored, [200, 200, 50])
})

test('it ends after the batch under way when it is told to', async () => {
  const stopping = new AbortController()
  const told: number[] = []
  await importProducts(
    linesOf(...Array.from({ length: 5_000 }, () => checked({ product_images: [] }))),
    {
      store: async () => {},
      onRefused: () => {},
      onProgress: ({ line }) => {
        told.push(line)
        stopping.abort()
      },
      signal: stopping.signal,
    },
  )
  assert.deepEqual(told, [1_000])
})

test('a refused line is told of once everything up to it is stored', async () => {
  const line = (at: number) => (at % 2 ? checked({ product_images: [] }) : refusal)
  const refusal = new AppError('invalid_input', 'no')
  let reached = 0
  const refused: number[] = []
  let batches = 0
  const importing = importProducts(linesOf(...Array.from({ length: 9_999 }, (_, at) => line(at))), {
    store: async () => {
      // The lines of the next batch are read meanwhile.
      await new Promise((resolve) => setImmediate(resolve))
      if (++batches > 2) throw new Error('no room')
    },
    onRefused: (line) => refused.push(line),
    onProgress: (progress) => {
      reached = progress.line
      assert.equal(refused.length, progress.refused)
    },
    signal: new AbortController().signal,
  })
  await assert.rejects(importing, /no room/)
  assert.equal(reached, 4_000)
  assert.equal(refused.at(-1), 3_999)
})

test('a batch that fails ends it, and nothing after it is stored', async () => {
  const stored: number[] = []
  const told: number[] = []
  const importing = importProducts(
    linesOf(...Array.from({ length: 5_000 }, () => checked({ product_images: [] }))),
    {
      store: async (batch) => {
        if (stored.length === 2) throw new Error('no room')
        stored.push(batch.length)
      },
      onRefused: () => {},
      onProgress: ({ line }) => told.push(line),
      signal: new AbortController().signal,
    },
  )
  await assert.rejects(importing, /no room/)
  assert.deepEqual(
    [stored, told],
    [
      [1_000, 1_000],
      [1_000, 2_000],
    ],
  )
})
