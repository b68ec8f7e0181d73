// `If-Match` on changes (RFC 9110 §13.1.1). Our entity tags are `"<edit>-<version>-<salt>"`, the salt
// begins with the epoch, and only the edit of that epoch is compared: a form that was opened while
// pictures were running still saves, one from before a restore does not.

import type { ExpectedEdit } from '../products/product.ts'

/** Edits count from 1; fifteen digits are exact in a number. */
const OUR_TAG = /^"(\d{1,15})-\d{1,15}-([0-9a-f]{8})[\w-]+"$/

/**
 * The edits that the change may start from; undefined without the header. A tag that is not ours, or
 * no tag at all, matches nothing: whoever sends a condition must never have it ignored.
 */
export function expectedEdit(header: string | undefined): ExpectedEdit | undefined {
  if (header === undefined) return undefined
  if (header.trim() === '*') return 'any'
  // An opaque tag may hold commas: it is the quotes that count. `W/` before them does not.
  const tags = header.match(/"[^"]*"/g) ?? []
  return tags.flatMap((tag) => {
    const [, edit, epoch] = OUR_TAG.exec(tag) ?? []
    return edit && epoch ? [{ edit: Number(edit), epoch }] : []
  })
}
