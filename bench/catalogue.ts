// A catalogue of any size with the pictures of its products, as processing leaves them.

import { sql } from 'kysely'
import pg from 'pg'
import type { Database } from '../src/database/database.ts'
import { fillCatalogue } from '../test/support/large-catalogue.ts'
import { type BenchDatabase, createBenchDatabase } from './postgres.ts'
import { adoptStorage, type BenchedProcess, startService } from './service.ts'

/** Pictures share their files now and then. */
const OBJECTS = 1_000

export interface ServedCatalogue extends AsyncDisposable {
  database: BenchDatabase
  service: BenchedProcess
  /** Of its products, in order. */
  ids(): Promise<readonly string[]>
}

/** An api on PostgreSQL, with a catalogue of its own. */
export async function serveCatalogue(
  directory: string,
  products: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<ServedCatalogue> {
  await using opening = new AsyncDisposableStack()
  const database = opening.use(
    await createBenchDatabase((filling) => fillWithPictures(filling, products)),
  )
  await adoptStorage(directory, database.url)
  const service = opening.use(
    await startService(directory, {
      DATABASE_URL: database.url,
      ROLE: 'api',
      PUBLIC_URL: 'http://bench.example',
      LOG_LEVEL: 'warn',
      ...settings,
    }),
  )
  const opened = opening.move()
  const ids = () => productIds(database.url)
  return { database, service, ids, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}

/** Each product has a picture; one that is done in part has another, which failed. */
export async function fillWithPictures(database: Database, products: number): Promise<void> {
  await fillCatalogue(database, products)
  await database.transaction(async (tx) => {
    // Foreign keys are true by construction; checking them row by row would take most of the time.
    await sql`SET LOCAL session_replication_role = replica`.execute(tx)
    await sql`
      INSERT INTO objects (id, key, source_sha256, recipe, state, width, height, bytes, format, thumbhash)
      SELECT md5(n::text)::uuid, 'renditions/' || n || '/default.jpg',
        repeat(md5(n::text), 2), 'bench', 'ready', 800, 600, 92133, 'jpeg', '3OcRJYB4d3h'
      FROM generate_series(0, ${OBJECTS - 1}::int) AS n`.execute(tx)
    await sql`
      INSERT INTO images (id, product_id, position, source_url, max_attempts, status, attempts, error,
        width, height, bytes, format, thumbhash)
      SELECT gen_random_uuid(), id, position, 'https://pictures.example/' || id || '/' || position,
        8, status, 1, CASE status WHEN 'failed' THEN '{"code": "origin_not_found", "detail":
          "The origin answered 404.", "retryable": false, "stage": "download"}'::jsonb END,
        4000, 3000, 5065576, 'jpeg', '3OcRJYB4d3h'
      FROM products, generate_series(0, (processing_status = 'partial')::int) AS position,
        LATERAL (SELECT CASE WHEN processing_status = 'processing' THEN 'queued'
          WHEN processing_status = 'failed' OR position = 1 THEN 'failed' ELSE 'ready' END AS status) AS now`.execute(
      tx,
    )
    await sql`
      INSERT INTO renditions (image_id, preset, object_id)
      SELECT id, 'default', md5(((row_number() OVER ()) % ${OBJECTS}::int)::text)::uuid
      FROM images WHERE status = 'ready'`.execute(tx)
  })
  for (const table of ['images', 'renditions', 'objects'])
    await sql`VACUUM ANALYZE ${sql.id(table)}`.execute(database.db)
}

async function productIds(url: string): Promise<readonly string[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    const { rows } = await client.query<{ id: string }>('SELECT id FROM products ORDER BY id')
    return rows.map(({ id }) => id)
  } finally {
    await client.end()
  }
}
