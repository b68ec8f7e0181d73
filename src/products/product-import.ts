// Products from the lines of a file, many in one statement. Batches are committed one after another in
// the order of the lines, so that "everything up to line N is stored" is true at any moment.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../database/database.ts'
import { isUniqueViolation } from '../database/sql-errors.ts'
import { type AppError, isAppError } from '../errors.ts'
import type { RequestContext } from '../images/image.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import { createImportBatch, type ImportBatch, insertProducts } from './product-import-store.ts'
import type { CheckedProduct } from './product-input.ts'

/** A line as it was read: a product, or why it is none. */
export interface ImportLine {
  number: number
  product: CheckedProduct | AppError
  /** Bytes of the input up to its end. */
  end: number
}

/** How far an import has come. */
export interface ImportProgress {
  /** Every line up to this one is stored or refused. */
  line: number
  /** Bytes of the input up to there. */
  bytes: number
  products: number
  pictures: number
  refused: number
}

export interface ImportOptions {
  /** Stores a batch; resolves when it is committed. */
  store(products: readonly CheckedProduct[]): Promise<void>
  /** Told of the lines up to the one that `onProgress` is told of next, and of none beyond. */
  onRefused(line: number, reason: AppError): void
  onProgress(progress: ImportProgress): void
  /** The lines before it count as stored. Default: 1. */
  fromLine?: number
  /** Ends the import after the batch that is under way. */
  signal: AbortSignal
}

/** Products and pictures: with a tenth of it half as much is stored in a second, with twice as much no more. */
const BATCH_ROWS = 1_000
/** Of names, descriptions and URLs: the largest legal product has 51,000. */
const BATCH_CHARACTERS = 2_000_000
/** With lines that are refused, so that it shows how far the import has come. */
const BATCH_LINES = 10_000

/** A batch while it is filled: its products and what will be true once they are stored. */
interface Filling {
  products: CheckedProduct[]
  refused: { line: number; reason: AppError }[]
  rows: number
  characters: number
  lines: number
  reached: ImportProgress
}

/**
 * Reads the lines to their end and stores their products; the next batch is read while the one before
 * is stored. Throws what `store` throws: `onProgress` was last told what is stored.
 */
export async function importProducts(
  lines: AsyncIterable<ImportLine>,
  { store, onRefused, onProgress, fromLine = 1, signal }: ImportOptions,
): Promise<void> {
  const begun = { line: fromLine - 1, bytes: 0, products: 0, pictures: 0, refused: 0 }
  let filling = createFilling(begun)
  let storing: Promise<void> = Promise.resolve()
  const flush = async () => {
    await storing
    const { products, refused, reached } = filling
    filling = createFilling(reached)
    const stored = products.length > 0 ? store(products) : Promise.resolve()
    storing = stored.then(() => {
      for (const { line, reason } of refused) onRefused(line, reason)
      onProgress(reached)
    })
    // It is awaited before the next one; until then a failure has nobody who would listen.
    storing.catch(() => {})
  }
  try {
    for await (const { number, product, end } of lines) {
      if (signal.aborted) break
      Object.assign(filling.reached, { line: number, bytes: end })
      filling.lines++
      if (isAppError(product)) {
        filling.reached.refused++
        filling.refused.push({ line: number, reason: product })
      } else add(product, filling)
      if (isFull(filling)) await flush()
    }
    if (!signal.aborted) await flush()
  } finally {
    await storing
  }
}

/** An empty one, that goes on from there. */
function createFilling(from: ImportProgress): Filling {
  return { products: [], refused: [], rows: 0, characters: 0, lines: 0, reached: { ...from } }
}

function add(product: CheckedProduct, filling: Filling): void {
  filling.products.push(product)
  filling.rows += 1 + product.sourceUrls.length
  filling.characters += charactersOf(product)
  filling.reached.products++
  filling.reached.pictures += product.sourceUrls.length
}

function isFull({ rows, characters, lines }: Filling): boolean {
  return rows >= BATCH_ROWS || characters >= BATCH_CHARACTERS || lines >= BATCH_LINES
}

function charactersOf({ userId, name, description, sourceUrls }: CheckedProduct): number {
  const urls = sourceUrls.reduce((sum, url) => sum + url.length, 0)
  return userId.length + name.length + description.length + urls
}

export interface ImportStoreOptions {
  database: Database
  job: ImageJobDefinition
  /** The same for the whole import. */
  context: RequestContext
  /** How long a database that went away is waited for. */
  patienceMs: number
  signal: AbortSignal
}

const RETRY_EVERY_MS = 1_000

/**
 * Stores batches in the database and wakes the service's announcer. Throws `unavailable` when the
 * database stayed away: it then cannot be known whether the last batch was stored.
 */
export function createImportStore(options: ImportStoreOptions): ImportOptions['store'] {
  const { database } = options
  return async (products) => {
    const batch = createImportBatch(products)
    await insertOnce(batch, options)
    database.signals.send('events')
    if (batch.pictures.length > 0) database.signals.send('jobs')
  }
}

/** A connection that was lost in the middle may come after the commit: sent again, the batch finds itself. */
async function insertOnce(batch: ImportBatch, options: ImportStoreOptions): Promise<void> {
  const { database, patienceMs, signal } = options
  const startedAt = performance.now()
  for (let attempt = 1; ; attempt++) {
    try {
      return await insertProducts(database.db, batch, options)
    } catch (error) {
      const mayHelp = isAppError(error, 'unavailable') || (attempt > 1 && isUniqueViolation(error))
      const waitedMs = performance.now() - startedAt
      if (!mayHelp || signal.aborted || waitedMs + RETRY_EVERY_MS > patienceMs) throw error
      await sleep(RETRY_EVERY_MS, undefined, { signal }).catch(() => {})
    }
  }
}
