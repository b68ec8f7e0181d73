// Products put into the tables as they are wanted, created_at included, and the order they must come in.

import { sql } from 'kysely'
import type { Executor } from '../../src/database/database.ts'
import type { ProcessingStatus } from '../../src/products/product.ts'
import type { ProductSort } from '../../src/products/product-list.ts'

export interface ListedRow {
  id: string
  userId: string
  name: string
  description: string
  /** With two decimals. */
  price: string
  status: ProcessingStatus
  /** With microseconds. */
  createdAt: string
}

export async function insertRows(db: Executor, rows: readonly ListedRow[]): Promise<void> {
  const column = (name: keyof ListedRow) => rows.map((row) => row[name])
  await sql`INSERT INTO users (id) SELECT DISTINCT unnest(${column('userId')}::text[])
    ON CONFLICT DO NOTHING`.execute(db)
  await sql`
    INSERT INTO products (id, user_id, product_name, product_description, product_price,
      processing_status, created_at)
    SELECT * FROM unnest(${column('id')}::uuid[], ${column('userId')}::text[],
      ${column('name')}::text[], ${column('description')}::text[], ${column('price')}::numeric[],
      ${column('status')}::text[], ${column('createdAt')}::timestamptz[])`.execute(db)
}

export async function deleteRows(db: Executor, ids: readonly string[]): Promise<void> {
  await sql`DELETE FROM products WHERE id = ANY(${[...ids]}::uuid[])`.execute(db)
}

type Order = (a: ListedRow, b: ListedRow) => number

const text = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const byId: Order = (a, b) => text(a.id, b.id)
const keys: Record<string, Order> = {
  created_at: (a, b) => text(a.createdAt, b.createdAt),
  product_price: (a, b) => Number(a.price) - Number(b.price),
  product_name: (a, b) => text(a.name, b.name),
}

/** How two rows stand to each other in every order but `relevance`. */
export function orderOf(sort: ProductSort): Order {
  const byKey = keys[sort.replace('-', '')] as Order
  const sign = sort.startsWith('-') ? -1 : 1
  return (a, b) => sign * (byKey(a, b) || byId(a, b))
}
