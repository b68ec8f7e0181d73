// The catalogue's use cases.

import { type CacheFigures, createReadThrough, type ReadThrough } from '../cache/read-through.ts'
import type { SharedLevel } from '../cache/shared-level.ts'
import type { Database } from '../database/database.ts'
import { AppError } from '../errors.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import { isUuid } from '../lib/uuid.ts'
import { fingerprintOf, replay } from './idempotency.ts'
import type { EditOptions, Products, Representation } from './product.ts'
import { createPresenter, type VersionedRepresentation } from './product-document.ts'
import { createProductEdits } from './product-edits.ts'
import { type CheckedFields, type CheckUrl, checkPatch, checkProduct } from './product-input.ts'
import type { ProductLists } from './product-list.ts'
import { createProductLists } from './product-lists.ts'
import { insertProduct, selectProduct } from './product-store.ts'
import { createSettledWaits } from './settled-waits.ts'
import { packProduct, unpackProduct } from './shared-product.ts'

const DAY_MS = 24 * 60 * 60_000

export interface ProductsOptions {
  database: Database
  mediaUrls: MediaUrls
  checkUrl: CheckUrl
  imageJob: ImageJobDefinition
  /** How long the key of a creation is remembered; a day without it. */
  idempotencyKeepMs?: number
  cache: {
    maxBytes: number
    maxStaleMs: number
    /** When this process last knew of every committed change; undefined while it does not know. */
    currentAsOf(): number | undefined
    /** Holds nothing but products as this process shows them. */
    shared?: SharedLevel | undefined
  }
}

/** The use cases, and what the composition root connects to the event log. */
export interface ProductsWithCache extends Products, ProductLists {
  /** A committed change: nothing older than `version` is served from now on, and who waits for the product looks. */
  invalidate(productId: string, version: number): void
  /** The log of changes was restored: what is remembered may be of changes that were lost. */
  restart(): void
  /** After a change of our own whose version is not at hand: drops the product before the answer goes out. */
  refresh(productId: string): Promise<void>
  /** Of the products in memory, for the health report. */
  cacheFigures(): CacheFigures
}

/** With a memory of its own, and behind that `cache.shared`, where there is one. Nothing is opened: nothing has to be closed. */
export function createProducts(options: ProductsOptions): ProductsWithCache {
  const { database, mediaUrls, checkUrl, imageJob } = options
  const { idempotencyKeepMs = DAY_MS } = options
  const presenter = createPresenter(mediaUrls)
  const load = async (id: string) => {
    const product = await selectProduct(database.db, id)
    return product && presenter.represent(product)
  }
  const { shared, ...memory } = options.cache
  const cached: ReadThrough<VersionedRepresentation> = createReadThrough({
    ...memory,
    shared: shared && { level: shared, pack: packProduct, unpack: unpackProduct },
    load,
    sizeOf: ({ body }) => memoryOf(body),
  })
  const edits = createProductEdits(options)
  const change = async (id: string, fields: Partial<CheckedFields>, editing: EditOptions) => {
    const key = id.toLowerCase()
    const changed = presenter.represent(await edits.change(key, fields, editing))
    await cached.announce(key, changed.version)
    return changed
  }
  const read = async (id: string): Promise<Representation> => {
    // PostgreSQL takes a UUID in any case; the cache must not keep one product under two keys.
    const found = isUuid(id) ? await cached.get(id.toLowerCase()) : undefined
    if (!found) throw new AppError('not_found', 'There is no such product.')
    const { value, ageSeconds } = found
    return ageSeconds === undefined ? value : { ...value, ageSeconds }
  }
  const waits = createSettledWaits({ read })
  shared?.subscribe({
    heard: (productId, version) => {
      cached.hear(productId, version)
      waits.wake(productId)
    },
    regained: cached.forget,
  })
  return {
    create: async (input, context) => {
      const product = checkProduct(input, checkUrl)
      const idempotency = context.idempotency && {
        ...context.idempotency,
        fingerprint: fingerprintOf(product),
        keepMs: idempotencyKeepMs,
      }
      const inserted = await insertProduct(database.db, product, {
        job: imageJob,
        context,
        idempotency,
      })
      const { stored } = inserted
      if (!stored) return { ...(await replay(inserted, read)), isReplay: true }
      database.signals.send('events')
      if (stored.images.length > 0) database.signals.send('jobs')
      return { ...presenter.represent(stored), isReplay: false }
    },
    read,
    // What is remembered is remembered under an id: any other form misses.
    recall: cached.recall,
    replace: async (id, input, editing) => {
      const { product_description = '', ...rest } = input
      return change(id, checkPatch({ ...rest, product_description }, checkUrl), editing)
    },
    patch: async (id, input, editing) => change(id, checkPatch(input, checkUrl), editing),
    remove: async (id, editing) => {
      const key = id.toLowerCase()
      await cached.announce(key, await edits.remove(key, editing))
    },
    list: createProductLists(database.db, presenter.document).list,
    settled: waits.wait,
    invalidate: (productId, version) => {
      cached.follow(productId, version)
      waits.wake(productId)
    },
    restart: cached.restart,
    refresh: async (productId) => {
      const current = await load(productId)
      if (current) await cached.announce(productId, current.version)
    },
    cacheFigures: cached.figures,
  }
}

/** Bytes of a text, which takes two for each character as soon as one is beyond Latin-1; one beyond ASCII counts for that. */
function memoryOf(text: string): number {
  const isAscii = Buffer.byteLength(text) === text.length
  return isAscii ? text.length : 2 * text.length
}
