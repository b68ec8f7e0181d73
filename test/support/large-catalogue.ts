// A catalogue of any size on PostgreSQL, made in seconds: rows first, indexes after them.

import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'

/**
 * Names of an adjective, a noun and a code; users from many products to few; dates in the order of
 * the rows, as they grow. `ancient` stands in the oldest fifth, `zebrawood` in one of 2,000.
 */
export async function fillCatalogue({ db }: Database, products: number): Promise<void> {
  const { rows: indexes } = await sql<{ indexname: string; indexdef: string }>`
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'products' AND indexname <> 'products_pkey'`.execute(db)
  for (const { indexname } of indexes) await sql`DROP INDEX ${sql.id(indexname)}`.execute(db)
  await sql`INSERT INTO users (id) SELECT 'u' || n FROM generate_series(0, 999) AS n`.execute(db)
  await sql`
    INSERT INTO products (id, user_id, product_name, product_description, product_price,
      processing_status, created_at)
    SELECT gen_random_uuid(), 'u' || floor(power(r.a, 3) * 1000)::int,
      (ARRAY['Red','Blue','Oak','Pine','Steel','Linen','Small','Large','Round','Folding'])[1 + n % 10]
        || ' ' || (ARRAY['Chair','Table','Lamp','Desk','Shelf','Rug','Sofa','Clock'])[1 + (r.b * 8)::int % 8]
        || ' ' || substr(md5(n::text), 1, 6),
      'For the ' || (ARRAY['kitchen','garden','office','hall'])[1 + (r.c * 4)::int % 4]
        || CASE WHEN n < ${products}::int / 5 THEN ', ancient' ELSE '' END
        || CASE WHEN n % 2000 = 7 THEN ', of zebrawood' ELSE '' END,
      round((power(r.d, 4) * 5000)::numeric, 2),
      CASE WHEN n % 25 < 22 THEN 'completed' WHEN n % 25 < 24 THEN 'processing'
        WHEN n % 500 = 24 THEN 'failed' ELSE 'partial' END,
      '2026-01-01'::timestamptz + n * interval '1 second'
    FROM (SELECT setseed(0.5)) AS seeded,
      LATERAL (SELECT n, random() AS a, random() AS b, random() AS c, random() AS d
        FROM generate_series(1, ${products}::int) AS n) AS r`.execute(db)
  await Promise.all(indexes.map(({ indexdef }) => sql.raw(indexdef).execute(db)))
  await sql`VACUUM ANALYZE products`.execute(db)
}
