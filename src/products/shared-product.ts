// A product's representation as processes share it: a line of JSON with what is not in the body, then the body.

import type { SharedEntry } from '../cache/cache.ts'
import type { VersionedRepresentation } from './product-document.ts'

type Head = Omit<VersionedRepresentation, 'body' | 'version' | 'goodUntil'>

export function packProduct({ id, etag, isSettled, body }: VersionedRepresentation): Buffer {
  const head: Head = { id, etag, isSettled }
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), body])
}

/** Undefined for what is no product: a cache is open to others, and may hold anything. */
export function unpackProduct({
  version,
  bytes,
  goodUntil,
}: SharedEntry): VersionedRepresentation | undefined {
  const end = bytes.indexOf('\n')
  const head = end < 0 ? undefined : parseHead(bytes.toString('utf8', 0, end))
  return head && { ...head, version, goodUntil, body: bytes.subarray(end + 1) }
}

function parseHead(text: string): Head | undefined {
  try {
    const { id, etag, isSettled } = JSON.parse(text)
    const isHead =
      typeof id === 'string' && typeof etag === 'string' && typeof isSettled === 'boolean'
    return isHead ? { id, etag, isSettled } : undefined
  } catch {
    return undefined
  }
}
