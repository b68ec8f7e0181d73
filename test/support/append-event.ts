// An event as use cases write it, each in a statement of its own.

import { sql } from 'kysely'
import type { Executor } from '../../src/database/database.ts'
import type { EventType } from '../../src/events/events.ts'

export interface NewEvent {
  userId: string
  productId: string
  imageId: string | null
  type: EventType
  /** Carries the product's version after the change. */
  data: { version: number } & Record<string, unknown>
}

/** The product's row lock must be held, so that id order is version order for it. */
export async function appendEvent(tx: Executor, event: NewEvent): Promise<void> {
  await sql`
    INSERT INTO events (user_id, product_id, image_id, type, data)
    VALUES (${event.userId}, ${event.productId}, ${event.imageId}, ${event.type},
      ${JSON.stringify(event.data)})`.execute(tx)
}
