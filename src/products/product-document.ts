// From stored rows to what clients get: the document, and the response that is ready to be sent.

import { createHash } from 'node:crypto'
import { type ImageDocument, PUBLISHED_PRESET } from '../images/image.ts'
import type { MediaUrls } from '../images/media-urls.ts'
import type { ProductDocument, Representation } from './product.ts'
import type { StoredProduct } from './product-store.ts'

/** Raised when the same rows come to be shown differently, so that no client keeps an old rendering. */
const REPRESENTATION_REVISION = 2

/** A representation as the cache holds it: fenced by the product's version. */
export interface VersionedRepresentation extends Representation {
  version: number
  /** When it may not be given any more, in milliseconds since 1970: where its URLs end. */
  goodUntil: number | undefined
}

export interface Presenter {
  document(product: StoredProduct): ProductDocument
  represent(product: StoredProduct): VersionedRepresentation
}

/** The URLs of `mediaUrls` are part of every answer, so other URLs make other ETags. */
export function createPresenter(mediaUrls: MediaUrls): Presenter {
  const salt = saltOf(mediaUrls)
  const document = (product: StoredProduct): ProductDocument => {
    const images = product.images.map(mediaUrls.present)
    return {
      id: product.id,
      user_id: product.user_id,
      product_name: product.product_name,
      product_description: product.product_description,
      // Twelve digits survive the way through a double.
      product_price: Number(product.product_price),
      product_images: product.images.map((image) => image.source_url),
      compressed_product_images: images.flatMap(publishedUrls),
      processing_status: product.processing_status,
      images,
      version: product.version,
      created_at: product.created_at,
      updated_at: product.updated_at,
    }
  }
  return {
    document,
    represent: (product) => {
      // Before the URLs are made, so that they are never older than it says.
      const [goodUntil, period] = [mediaUrls.goodUntil(), mediaUrls.period()]
      const shown = document(product)
      return {
        id: product.id,
        version: product.version,
        body: JSON.stringify(shown),
        // Signed URLs change with their period and their key, and so does what the tag stands for.
        etag: `"${product.edit}-${product.version}-${product.epoch}${salt}${period === undefined ? '' : `-${period}`}"`,
        goodUntil,
        isSettled: shown.processing_status !== 'processing',
      }
    },
  }
}

function publishedUrls({ renditions }: ImageDocument): string[] {
  return renditions.filter(({ preset }) => preset === PUBLISHED_PRESET).map(({ url }) => url)
}

/** Covers what shows in the body and is not in the rows: only processes of the same salt show the same. */
export function saltOf({ base, signing = '' }: Pick<MediaUrls, 'base' | 'signing'>): string {
  return createHash('sha256')
    .update(JSON.stringify([REPRESENTATION_REVISION, base, signing]))
    .digest('base64url')
    .slice(0, 6)
}
