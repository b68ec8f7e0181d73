// Cursors of lists: opaque to clients, base64url of JSON to us. They carry the place to go on from at
// full precision and a hash of the filter, and are refused unless they are exactly what we handed out.

import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import { isUuid } from '../lib/uuid.ts'
import type { ProductFilter, ProductPosition } from '../products/product.ts'

/** Microseconds included: two products of one millisecond must not be skipped. */
const TIMESTAMP = /^[1-9]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/

/** The cursor that goes on after `position` in the list that `filter` selects. */
export function encodeCursor(position: ProductPosition, filter: ProductFilter): string {
  return encode(position, hashOf(canonical(filter)))
}

/** Throws `invalid_cursor` for what we did not make, `cursor_mismatch` for a cursor of another filter. */
export function decodeCursor(cursor: string, filter: ProductFilter): ProductPosition {
  const { position, filterHash } = parse(cursor)
  if (filterHash !== hashOf(canonical(filter))) {
    throw new AppError(
      'cursor_mismatch',
      'The cursor was made for a list with another filter. Start again without it.',
    )
  }
  return position
}

function encode({ createdAt, id }: ProductPosition, filterHash: string): string {
  const place = [createdAt, id, filterHash]
  // Not a secret: it tells a damaged cursor from a whole one, and a position can be asked for by anybody.
  return Buffer.from(JSON.stringify([...place, hashOf(place)])).toString('base64url')
}

function parse(cursor: string): { position: ProductPosition; filterHash: string } {
  const [createdAt, id, filterHash] = readJson(cursor)
  if (isTimestamp(createdAt) && isId(id) && typeof filterHash === 'string') {
    const position = { createdAt, id }
    // Also refuses other spellings of the same bytes.
    if (encode(position, filterHash) === cursor) return { position, filterHash }
  }
  throw new AppError('invalid_cursor', 'The cursor is damaged or was not made by this service.')
}

function readJson(cursor: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

/** A moment that exists: 30 February would be the database's to refuse. */
function isTimestamp(value: unknown): value is string {
  if (typeof value !== 'string' || !TIMESTAMP.test(value)) return false
  const at = new Date(value)
  return !Number.isNaN(at.valueOf()) && at.toISOString().slice(0, 19) === value.slice(0, 19)
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isUuid(value)
}

function canonical({ userId, minPrice, maxPrice, nameContains }: ProductFilter): unknown[] {
  return [userId, minPrice, maxPrice, nameContains]
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 12)
}
