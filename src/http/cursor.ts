// Cursors of lists: opaque to clients, base64url of JSON to us. They carry the place to go on from at
// full precision and a hash of the list, and are refused unless they are exactly what we handed out.

import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import { isUuid } from '../lib/uuid.ts'
import {
  type ProductListQuery,
  type ProductPosition,
  positionKinds,
  type ValueKind,
} from '../products/product-list.ts'

/** What makes two pages parts of one list. */
export type ProductListKey = Pick<ProductListQuery, 'filter' | 'sort'>

/** Microseconds included: two products of one millisecond must not be skipped. */
const TIMESTAMP = /^[1-9]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/

/** The cursor that goes on after `position` in this list. */
export function encodeCursor(position: ProductPosition, list: ProductListKey): string {
  return encode(position, hashOf(canonical(list)))
}

/** Throws `invalid_cursor` for what we did not make, `cursor_mismatch` for a cursor of another list. */
export function decodeCursor(cursor: string, list: ProductListKey): ProductPosition {
  const { position, listHash } = parse(cursor)
  if (listHash !== hashOf(canonical(list))) {
    throw new AppError(
      'cursor_mismatch',
      'The cursor was made for a list with another filter or order. Start again without it.',
    )
  }
  const kinds = positionKinds[list.sort]
  const isOne = position.length === kinds.length
  if (!isOne || !kinds.every((kind, at) => isOfKind[kind](position[at] ?? ''))) throw damaged()
  return position
}

function encode(position: ProductPosition, listHash: string): string {
  const place = [...position, listHash]
  // Not a secret: it tells a damaged cursor from a whole one, and a position can be asked for by anybody.
  return Buffer.from(JSON.stringify([...place, hashOf(place)])).toString('base64url')
}

function parse(cursor: string): { position: ProductPosition; listHash: string } {
  const values = readJson(cursor)
  const listHash = values.at(-2)
  const position = values.slice(0, -2)
  // Also refuses other spellings of the same bytes.
  if (listHash === undefined || encode(position, listHash) !== cursor) throw damaged()
  return { position, listHash }
}

/** The texts in it; none when it is anything else. */
function readJson(cursor: string): string[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : []
  } catch {
    return []
  }
}

function damaged(): AppError {
  return new AppError('invalid_cursor', 'The cursor is damaged or was not made by this service.')
}

/** What the database takes as such a value: anything else would be its to refuse. */
const isOfKind: Readonly<Record<ValueKind, (value: string) => boolean>> = {
  timestamp: isTimestamp,
  decimal: (value) => /^\d{1,10}\.\d{2}$/.test(value),
  name: (value) => value.isWellFormed() && !value.includes('\0'),
  rank: (value) => /^\d(\.\d+)?(e-\d{1,2})?$/.test(value) && isReal(value),
  id: isUuid,
}

/** PostgreSQL's `real` refuses what would be infinite in it, or 0 without being 0. */
function isReal(value: string): boolean {
  const real = Math.fround(Number(value))
  return Number.isFinite(real) && (real !== 0 || /^[0.]+(e|$)/.test(value))
}

/** A moment that exists: not 30 February. */
function isTimestamp(value: string): boolean {
  if (!TIMESTAMP.test(value)) return false
  const at = new Date(value)
  return !Number.isNaN(at.valueOf()) && at.toISOString().slice(0, 19) === value.slice(0, 19)
}

function canonical({ filter, sort }: ProductListKey): unknown[] {
  const { userId, minPrice, maxPrice, nameContains, words, status } = filter
  return [sort, userId, minPrice, maxPrice, nameContains, words, status]
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 12)
}
