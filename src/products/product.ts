// The product as clients see it and ask for it. The shapes are the public contract.

import type { Timestamp } from '../database/types.ts'
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

/** Every field a client may change; what is absent becomes its default, but the pictures stay as they are. */
export type ProductReplacement = Omit<NewProduct, 'user_id'>

/** A JSON merge patch (RFC 7396): null takes a field away, which the name and the price do not allow. */
export interface ProductPatch {
  product_name?: string
  product_description?: string | null
  product_price?: number
  product_images?: readonly string[] | null
}

/** One state of a product as clients left it: edits count anew where a database that was restored goes on. */
export interface Edit {
  edit: number
  /** Of the event log. */
  epoch: string
}

/** What a change may start from; `any` for `If-Match: *`. */
export type ExpectedEdit = 'any' | readonly Edit[]

export interface EditOptions {
  /** Undefined: whatever it is. */
  expected?: ExpectedEdit
  context: RequestContext
}

/** What one principal calls a request that it may send again. */
export interface IdempotencyKey {
  /** Who asks: the same key of somebody else is another key. */
  principal: string
  /** 1–255 visible ASCII characters. */
  key: string
}

/** Who creates, and the key of a creation that may be sent again. */
export interface CreateContext extends RequestContext {
  idempotency?: IdempotencyKey
}

/** A response that is ready to be sent. */
export interface Representation {
  id: string
  /** The product as JSON. Text, which Node sends together with its head; bytes take a second buffer, and 5 to 10 % longer. */
  body: string
  etag: string
  /** No picture is under way any more. */
  isSettled: boolean
  /** Set when the database cannot be reached and this may be old: seconds since it was known to be current. */
  ageSeconds?: number
}

export interface WaitOptions {
  timeoutMs: number
  /** Ends the wait. */
  signal: AbortSignal
}

/** What a creation came to. */
export interface Creation extends Representation {
  /** The request was a repeat: the product, as it is now, was made by the first one. */
  isReplay: boolean
}

/** The catalogue's use cases. */
export interface Products {
  /**
   * Stores a product, its pictures, their jobs and events in one statement and wakes the announcer.
   * Throws `invalid_input` with every field at fault, and nothing is stored. Of requests with one key
   * the first one creates; a repeat throws `idempotency_key_reused` when it asks for another product,
   * `conflict` when the first one's is gone.
   */
  create(input: NewProduct, context: CreateContext): Promise<Creation>
  /** The product as it is now, from the cache where that is certain. Throws `not_found` for any id that names nothing, whatever its form. */
  read(id: string): Promise<Representation>
  /** What `read` would answer, if it is in memory for certain: most reads are, and need no promise. */
  recall(id: string): Representation | undefined
  /**
   * Changes a product. A picture URL that stays keeps its image and results, a new one is queued, a
   * dropped one goes. Throws `not_found`, `invalid_input`, `stale_version` when it is not in an expected edit.
   */
  replace(id: string, input: ProductReplacement, options: EditOptions): Promise<Representation>
  patch(id: string, input: ProductPatch, options: EditOptions): Promise<Representation>
  /** Removes a product and its pictures; their files go once nothing else refers to them. */
  remove(id: string, options: EditOptions): Promise<void>
  /**
   * The product once no picture of it is under way any more; the latest that is known of it when the
   * time is up, `signal` aborts, or it is deleted. Never rejects.
   */
  settled(product: Representation, options: WaitOptions): Promise<Representation>
}
