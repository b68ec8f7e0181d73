// Conditional and partial requests (RFC 9110 §13, §14): has the client got it already, and which part
// of it does it want?

import type { ByteRange } from '../storage/storage.ts'

/** Whether `If-None-Match` names this entity tag. Comparison is weak: `W/` does not count. */
export function noneMatchFails(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  // An opaque tag may hold commas: it is the quotes that count.
  const given: readonly string[] = header.match(/"[^"]*"/g) ?? []
  return given.includes(etag.replace(/^W\//, ''))
}

/**
 * The one range that `Range` asks for, within `size` bytes. `whole` for headers that ask for nothing
 * we serve in parts (no bytes, several ranges, malformed): the RFC lets a server ignore those.
 */
export function rangeOf(
  header: string | undefined,
  size: number,
): ByteRange | 'whole' | 'unsatisfiable' {
  const [, first, last] = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'whole'
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length > 0 ? { start: size - length, end: size - 1 } : 'unsatisfiable'
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return 'whole'
  return start < size ? { start, end } : 'unsatisfiable'
}
