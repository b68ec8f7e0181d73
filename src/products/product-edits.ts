// Changes of a product by a client. One transaction each: lock, compare the edit, change, publish. An
// edit in the middle of processing never loses and never publishes an old picture: whatever settles
// later finds its image gone, or in its new place.

import { isDeepStrictEqual } from 'node:util'
import type { Database, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import type { ImageJobDefinition } from '../images/image-job.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import { isUuid } from '../lib/uuid.ts'
import { reconcile, type StoredImageRef } from './picture-list.ts'
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
  /** The product as it is after the change; one that changes nothing is no edit. Throws `not_found`, `stale_version`. */
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
        const pictures = fields.sourceUrls && (await selectImageRefs(tx, id))
        if (isAsItWas(fields, current, pictures)) {
          return { product: await selectProduct(tx, id), isEdit: false, hasJobs: false }
        }
        const additions = { productId: id, lane: current.userId, job: imageJob, context }
        const addedImageIds =
          fields.sourceUrls && pictures
            ? await changePictures(tx, reconcile(pictures, fields.sourceUrls), additions)
            : []
        const { prefix: urlPrefix } = mediaUrls
        await publishEdit(tx, id, { fields: { ...current, ...fields }, addedImageIds, urlPrefix })
        const product = await selectProduct(tx, id)
        return { product, isEdit: true, hasJobs: addedImageIds.length > 0 }
      })
      if (changed.isEdit) signals.send('events')
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
  if (expected === undefined || expected === 'any') return current
  if (expected.some(({ edit, epoch }) => edit === current.edit && epoch === current.epoch)) {
    return current
  }
  throw new AppError(
    'stale_version',
    'The product was changed by somebody else since it was read; read it again and repeat the change.',
  )
}

/** True for a change that changes nothing: it is no edit, and nobody is told of it. */
function isAsItWas(
  { name, description, price, sourceUrls }: Partial<CheckedFields>,
  current: LockedProduct,
  pictures: readonly StoredImageRef[] = [],
): boolean {
  return (
    (name ?? current.name) === current.name &&
    (description ?? current.description) === current.description &&
    Number(price ?? current.price) === Number(current.price) &&
    (sourceUrls === undefined ||
      isDeepStrictEqual(
        sourceUrls,
        pictures.map(({ sourceUrl }) => sourceUrl),
      ))
  )
}

function missing(): never {
  throw new AppError('not_found', 'There is no such product.')
}
