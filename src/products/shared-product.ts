// A product's representation as processes share it: a line of JSON with what is not in the body, then the body.

import type { SharedEntry } from '../cache/cache.ts'
import type { VersionedRepresentation } from './product-document.ts'

interface Head {
  readonly etag: string
  readonly isSettled: boolean
}

/** Edit, version, and what else is in it. */
const ETAG = /^"\d{1,15}-(\d{1,15})-[\w-]{1,100}"$/

/** Without the version, which the cache keeps beside it. */
export function packProduct({ etag, isSettled, body }: VersionedRepresentation): Buffer {
  const head: Head = { etag, isSettled }
  return Buffer.from(`${JSON.stringify(head)}\n${body}`)
}

/**
 * Undefined for what is not that product in that version: a cache is open to others, and may hold anything. Who
 * forges an entry of the right form is believed.
 */
export function unpackProduct(
  id: string,
  { version, bytes, goodUntil }: SharedEntry,
): VersionedRepresentation | undefined {
  const end = bytes.indexOf('\n')
  const head = end < 0 ? undefined : parseHead(bytes.toString('utf8', 0, end))
  const body = bytes.toString('utf8', end + 1)
  const start = `{"id":${JSON.stringify(id)},`
  const isIt = head && Number(ETAG.exec(head.etag)?.[1]) === version && body.startsWith(start)
  return isIt ? { ...head, id, version, goodUntil, body } : undefined
}

function parseHead(text: string): Head | undefined {
  try {
    const { etag, isSettled } = JSON.parse(text)
    const isHead = typeof etag === 'string' && typeof isSettled === 'boolean'
    return isHead ? { etag, isSettled } : undefined
  } catch {
    return undefined
  }
}
