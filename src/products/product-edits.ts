// Changes of a product by a client. One transaction each: lock, compare the edit, change, publish. An
// edit in the middle of processing never loses and never publishes an old picture: whatever settles
// later finds its image gone, or in its new place.

import type { Database, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import { isUuid } from '../lib/uuid.ts'
import { reconcile } from './picture-list.ts'
import type { EditOptions } from './product.ts'
import {
  changePictures,
  deleteProduct,
  type LockedProduct,
  lockForEdit,
  publishEdit,
  selectImageRefs,
} from './product-edit-store.ts'
import type { CheckedFields } from './product-input.ts'
import { type StoredProduct, selectProduct } from './product-store.ts'

export interface ProductEditsOptions {
  database: Database
  mediaUrls: MediaUrls
  imageJob: ImageJobDefinition
}

export interface ProductEdits {
  /** The product as it is after the change. Throws `not_found`, `stale_version`. */
  change(id: string, fields: Partial<CheckedFields>, options: EditOptions): Promise<StoredProduct>
  /** The version that readers must not fall below. Throws `not_found`, `stale_version`. */
  remove(id: string, options: EditOptions): Promise<number>
}

export function createProductEdits(options: ProductEditsOptions): ProductEdits {
  const { database, mediaUrls, imageJob } = options
  const { signals } = database
  return {
    change: async (id, fields, { expected, context }) => {
      const changed = await database.transaction(async (tx) => {
        const current = await lock(tx, id, expected)
        const addedImageIds = fields.sourceUrls
          ? await setPictures(tx, fields.sourceUrls, {
              productId: id,
              lane: current.userId,
              job: imageJob,
              context,
            })
          : []
        const { prefix: urlPrefix } = mediaUrls
        await publishEdit(tx, id, { fields: { ...current, ...fields }, addedImageIds, urlPrefix })
        return { product: await selectProduct(tx, id), hasJobs: addedImageIds.length > 0 }
      })
      signals.send('events')
      if (changed.hasJobs) signals.send('jobs')
      return changed.product ?? missing()
    },
    remove: async (id, { expected }) => {
      const version = await database.transaction(async (tx) => {
        await lock(tx, id, expected)
        return await deleteProduct(tx, id)
      })
      signals.send('events')
      return version
    },
  }
}

async function lock(tx: Tx, id: string, expected: EditOptions['expected']): Promise<LockedProduct> {
  const current = (isUuid(id) ? await lockForEdit(tx, id) : undefined) ?? missing()
  if (expected === undefined || expected === 'any' || expected.includes(current.edit)) {
    return current
  }
  throw new AppError(
    'stale_version',
    'The product was changed by somebody else since it was read; read it again and repeat the change.',
  )
}

async function setPictures(
  tx: Tx,
  sourceUrls: readonly string[],
  additions: Parameters<typeof changePictures>[2],
): Promise<string[]> {
  const current = await selectImageRefs(tx, additions.productId)
  return await changePictures(tx, reconcile(current, sourceUrls), additions)
}

function missing(): never {
  throw new AppError('not_found', 'There is no such product.')
}
