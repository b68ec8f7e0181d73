// Server-sent events as text (HTML living standard, "Server-sent events"). A frame is lines and an empty
// line; JSON escapes every line break, so no content can begin a line of its own.

import type { LoggedEvent } from '../events/events.ts'
import { formatPosition, type Position } from '../events/position.ts'

/** An event as clients get it. */
export interface EventDocument {
  /** Its position in the log: what a client comes back with. */
  id: string
  type: string
  at: string
  user_id: string
  product_id: string
  image_id: string | null
  /** The product's version after the change. */
  version: number
  details: Record<string, unknown>
}

/** Does nothing but show that both ends are still there. */
export const heartbeat: Buffer = Buffer.from(':\n\n')

/** The log does not reach back to where the client was; a snapshot follows. */
export const resync: Buffer = frame('resync', {
  reason: 'The log does not reach back to the position asked for: start again from the snapshot.',
})

/** How long a client waits before it connects again. */
export function retryAfter(ms: number): Buffer {
  return Buffer.from(`retry: ${Math.round(ms)}\n\n`)
}

/** What there was at a position. A client that knows no event yet comes back to it. */
export function snapshotFrame(position: Position, content: object): Buffer {
  const id = formatPosition(position)
  return frame('snapshot', { position: id, ...content }, id)
}

/** One event goes to many streams, and is written once. */
const written = new WeakMap<LoggedEvent, Buffer>()

export function eventFrame(event: LoggedEvent, epoch: string): Buffer {
  const known = written.get(event)
  if (known) return known
  const id = formatPosition({ epoch, id: event.id })
  const bytes = frame(event.type, documentOf(event, id), id)
  written.set(event, bytes)
  return bytes
}

function documentOf(event: LoggedEvent, id: string): EventDocument {
  return {
    id,
    type: event.type,
    at: event.at,
    user_id: event.userId,
    product_id: event.productId,
    image_id: event.imageId,
    version: event.version,
    details: event.details,
  }
}

function frame(type: string, data: object, id?: string): Buffer {
  const head = id === undefined ? '' : `id: ${id}\n`
  return Buffer.from(`${head}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
}
