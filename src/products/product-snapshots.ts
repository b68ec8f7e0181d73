// A product together with its place in the event log, for those who follow it from there on.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { positionOfProduct } from '../events/log.ts'
import type { Position } from '../events/position.ts'
import { imagesJson } from '../images/image-store.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import { isUuid } from '../lib/uuid.ts'
import type { ProductDocument } from './product.ts'
import { createPresenter } from './product-document.ts'
import { productColumns, type StoredProduct } from './product-store.ts'

export interface ProductSnapshot {
  product: ProductDocument
  /** The product shows every event of its own up to here, and none after. */
  position: Position
}

export interface ProductSnapshots {
  /** Undefined for any id that names nothing, whatever its form. */
  read(id: string): Promise<ProductSnapshot | undefined>
}

export interface ProductSnapshotsOptions {
  db: Db
  mediaUrls: MediaUrls
}

/** Past all caches: a product from memory has no place. */
export function createProductSnapshots(options: ProductSnapshotsOptions): ProductSnapshots {
  const presenter = createPresenter(options.mediaUrls)
  return {
    read: async (id) => {
      const found = isUuid(id) ? await selectWithPosition(options.db, id) : undefined
      if (!found) return undefined
      const { position, ...product } = found
      return {
        product: presenter.document(product),
        position: { epoch: product.epoch, id: position },
      }
    },
  }
}

/** One statement, so that the product and its place are of one moment. */
async function selectWithPosition(
  db: Db,
  id: string,
): Promise<(StoredProduct & { position: number }) | undefined> {
  const { rows } = await sql<StoredProduct & { position: number }>`
    SELECT ${productColumns}, ${imagesJson},
      ${positionOfProduct(sql`products.id`)} AS position
    FROM products, event_log WHERE products.id = ${id}`.execute(db)
  return rows[0]
}
