// The parts of a URL that names a server: what `URL` leaves as it is written.

import { isOneLine } from './value-types.ts'

/** Undefined for what is not percent-encoded text on one line. */
export function decodePart(encoded: string): string | undefined {
  try {
    const decoded = decodeURIComponent(encoded)
    return isOneLine(decoded) ? decoded : undefined
  } catch {
    return undefined
  }
}

/** An IPv6 address stands in brackets in a URL, and nowhere else. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}
