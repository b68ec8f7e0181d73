// The product as clients see it and ask for it. The shapes are the public contract.

import type { Timestamp } from '../database/tables.ts'
import type { ImageDocument, RequestContext } from '../images/image.ts'

export const processingStatuses = ['completed', 'processing', 'partial', 'failed'] as const
export type ProcessingStatus = (typeof processingStatuses)[number]

export interface ProductDocument {
  id: string
  user_id: string
  product_name: string
  product_description: string
  product_price: number
  product_images: string[]
  compressed_product_images: string[]
  processing_status: ProcessingStatus
  images: ImageDocument[]
  version: number
  created_at: Timestamp
  updated_at: Timestamp
}

/** A new product whose JSON types and lengths are right; what a schema cannot say is still to be judged. */
export interface NewProduct {
  user_id: string | number
  product_name: string
  product_description?: string
  product_price: number
  product_images?: readonly string[]
}

/** A response that is ready to be sent. */
export interface Representation {
  id: string
  /** The product as UTF-8 JSON. */
  body: Buffer
  etag: string
  /** Set when the database cannot be reached and this may be old: seconds since it was known to be current. */
  ageSeconds?: number
}

export interface ProductFilter {
  userId?: string
  /** Decimals as text, inclusive. */
  minPrice?: string
  maxPrice?: string
  /** Part of the name, any case; `%` and `_` are plain characters. */
  nameContains?: string
}

/** The place of a row in the order `created_at` descending, `id` descending. */
export interface ProductPosition {
  createdAt: Timestamp
  id: string
}

export interface ProductPage {
  data: ProductDocument[]
  /** Where the next page starts after; undefined on the last one. */
  next: ProductPosition | undefined
}

/** The catalogue's use cases. */
export interface Products {
  /**
   * Stores a product, its pictures, their jobs and events in one statement and wakes the announcer.
   * Throws `invalid_input` with every field at fault, and nothing is stored.
   */
  create(input: NewProduct, context: RequestContext): Promise<Representation>
  /** The product as it is now, from the cache where that is certain. Throws `not_found` for any id that names nothing, whatever its form. */
  read(id: string): Promise<Representation>
  list(
    filter: ProductFilter,
    page: { limit: number; after?: ProductPosition },
  ): Promise<ProductPage>
}
