// The whole catalogue in the order of its ids, a page at a time: memory does not grow with it, and no
// transaction stays open. A product that changes meanwhile is shown as it was when its page was read.

import { sql } from 'kysely'
import type { Db } from '../database/database.ts'
import { imagesJson } from '../images/image-store.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import type { ProductDocument } from './product.ts'
import { createPresenter } from './product-document.ts'
import { productColumns, type StoredProduct } from './product-store.ts'

/** The largest legal products make pages of some 20 MB. */
const PAGE_PRODUCTS = 200
/** Before every id of ours. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/** Pages of products, never empty ones; those that are there throughout come exactly once. */
export async function* exportProducts({
  db,
  mediaUrls,
}: {
  db: Db
  mediaUrls: MediaUrls
}): AsyncGenerator<ProductDocument[]> {
  const presenter = createPresenter(mediaUrls)
  for (let after: string | undefined = FIRST_ID; after !== undefined; ) {
    const page: StoredProduct[] = await selectPageById(db, after)
    if (page.length > 0) yield page.map(presenter.document)
    after = page.length < PAGE_PRODUCTS ? undefined : page.at(-1)?.id
  }
}

async function selectPageById(db: Db, after: string): Promise<StoredProduct[]> {
  const { rows } = await sql<StoredProduct>`
    SELECT ${productColumns}, ${imagesJson} FROM products WHERE id > ${after}::uuid
    ORDER BY id LIMIT ${PAGE_PRODUCTS}`.execute(db)
  return rows
}
