// From stored rows to what clients get: the document, and the response that is ready to be sent.

import { createHash } from 'node:crypto'
import type { ImageStatus } from '../images/image.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import type { ProcessingStatus, ProductDocument, Representation } from './product.ts'
import type { StoredProduct } from './product-store.ts'

/** Raised when the same rows come to be shown differently, so that no client keeps an old rendering. */
const REPRESENTATION_REVISION = 1

/** A representation as the cache holds it: fenced by the product's version. */
export interface VersionedRepresentation extends Representation {
  version: number
}

export interface Presenter {
  document(product: StoredProduct): ProductDocument
  represent(product: StoredProduct): VersionedRepresentation
}

export function createPresenter(mediaUrls: MediaUrls): Presenter {
  const salt = saltOf(mediaUrls)
  const document = (product: StoredProduct): ProductDocument => ({
    id: product.id,
    user_id: product.user_id,
    product_name: product.product_name,
    product_description: product.product_description,
    // Twelve digits survive the way through a double.
    product_price: Number(product.product_price),
    product_images: product.images.map((image) => image.source_url),
    compressed_product_images: product.compressed_product_images.map(mediaUrls.resolve),
    processing_status: processingStatus(product.images.map((image) => image.status)),
    images: product.images.map(mediaUrls.present),
    version: product.version,
    created_at: product.created_at,
    updated_at: product.updated_at,
  })
  return {
    document,
    represent: (product) => {
      const shown = document(product)
      return {
        id: product.id,
        version: product.version,
        body: Buffer.from(JSON.stringify(shown)),
        etag: `"${product.edit}-${product.version}-${salt}"`,
        isSettled: shown.processing_status !== 'processing',
      }
    },
  }
}

/** Covers what shows in the body and is not in the rows. */
function saltOf({ prefix, resolve }: MediaUrls): string {
  return createHash('sha256')
    .update(JSON.stringify([REPRESENTATION_REVISION, prefix, resolve('/')]))
    .digest('base64url')
    .slice(0, 6)
}

export function processingStatus(images: readonly ImageStatus[]): ProcessingStatus {
  if (images.some((status) => status !== 'ready' && status !== 'failed')) return 'processing'
  if (images.every((status) => status === 'ready')) return 'completed'
  return images.every((status) => status === 'failed') ? 'failed' : 'partial'
}
