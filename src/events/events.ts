// The append-only log of what happened, written in the transaction that made it happen.

import type { Timestamp } from '../database/types.ts'

export const eventTypes = [
  'product.created',
  'product.updated',
  'product.deleted',
  'image.queued',
  'image.processing',
  'image.ready',
  'image.retry_scheduled',
  'image.failed',
] as const
export type EventType = (typeof eventTypes)[number]

/** An event as it stands in the log. */
export interface LoggedEvent {
  /** Means something within the log's epoch only. */
  id: number
  userId: string
  productId: string
  imageId: string | null
  type: EventType
  /** The product's version after the change. */
  version: number
  /** What the type has to say besides. */
  details: Record<string, unknown>
  at: Timestamp
}
