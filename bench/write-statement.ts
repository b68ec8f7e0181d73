// The statement that creates a product, caught on its way to the database, as a script of pgbench.

import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import { encodeParameters } from '../src/database/parameters.ts'
import { defineImageJob } from '../src/images/image-job.ts'
import { insertProduct } from '../src/products/product-store.ts'

/** Products belong to so many users. */
export const USERS = 1_000

/** Nobody listens there: whoever tries to download is done at once. */
export const ORIGIN = 'http://127.0.0.1:1024'

const USER = 'user of the benchmark'
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/**
 * With fresh ids for each run, which rise with time as those of the service do. The rest are constants,
 * which favours pgbench a little: what a missing key spares, its planner knows beforehand.
 */
export async function pgbenchScript(pictures: number): Promise<string> {
  const { text, values } = await catchInsert(pictures)
  const ids = new Map<string, string>()
  const statement = text
    .replaceAll(/\s+/g, ' ')
    // Of `HH24:MI:SS` it would take `:MI` for a variable of its own.
    .replaceAll(/:(?=[A-Z])/g, `:' || '`)
    .replaceAll(/\$(\d+)/g, (_, n) => expressionOf(values[Number(n) - 1], ids))
  return `\\set seed random(0, 281474976710655)\n\\set user random(0, ${USERS - 1})\n${statement};\n`
}

async function catchInsert(pictures: number) {
  let caught: { text: string; values: (string | null)[] } | undefined
  const db = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (kysely) => new PostgresIntrospector(kysely),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: ({ query }) => {
      caught = { text: query.sql, values: encodeParameters(query.parameters) }
    },
  })
  const product = {
    userId: USER,
    name: 'A product',
    description: 'Posted by a benchmark.',
    price: '19.99',
    sourceUrls: Array.from({ length: pictures }, (_, n) => `${ORIGIN}/${n}.jpg`),
  }
  const insertion = {
    job: defineImageJob({ maxAttempts: 8, timeoutMs: 120_000 }),
    context: { requestId: 'bench', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    idempotency: undefined,
  }
  // Nothing runs it, so it returns no row, which is an error to who asked for a product.
  await insertProduct(db, product, insertion).catch(() => {})
  if (!caught) throw new Error('no statement was caught')
  return caught
}

/** `ids` are those that were met before, with what stands for them. */
function expressionOf(value: string | null | undefined, ids: Map<string, string>): string {
  if (value === null || value === undefined) return 'NULL'
  if (value === USER) return `('bench-' || (:user)::integer)`
  const parts = value.split(UUID).map(quoted)
  const found = (value.match(UUID) ?? []).map((id) => {
    const fresh = ids.get(id) ?? freshId(ids.size)
    ids.set(id, fresh)
    return fresh
  })
  return `(${parts.flatMap((part, at) => [part, ...found.slice(at, at + 1)]).join(' || ')})`
}

/** A UUIDv7: the milliseconds of the statement, and what no other statement has. */
function freshId(n: number): string {
  const random = `lpad(to_hex((:seed)::bigint), 12, '0')`
  return `(lpad(to_hex((extract(epoch FROM statement_timestamp()) * 1000)::bigint), 12, '0') || '7${n}00' || '8000' || ${random})`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
