// The append-only log of what happened, written in the transaction that made it happen.

import { sql } from 'kysely'
import type { Executor } from '../database/database.ts'
import type { Timestamp } from '../database/tables.ts'

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

export interface NewEvent {
  userId: string
  productId: string
  imageId: string | null
  type: EventType
  /** Carries the product's version after the change; readers drop what they hold of an older one. */
  data: { version: number } & Record<string, unknown>
}

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

/** Appends one event. The product's row lock must be held, so that id order is version order for it. */
export async function appendEvent(tx: Executor, event: NewEvent): Promise<void> {
  await sql`
    INSERT INTO events (user_id, product_id, image_id, type, data)
    VALUES (${event.userId}, ${event.productId}, ${event.imageId}, ${event.type}, ${JSON.stringify(event.data)})`.execute(
    tx,
  )
}
