// What of a setting's value people may be shown, in messages and in `vitrine config`.

import type { Setting } from './setting.ts'

const MASK = '********'

/** A value that was accepted, its secrets masked. */
export function masked(text: string, { secret }: Setting): string {
  if (secret === 'whole') return MASK
  return secret === 'url' ? maskUrl(text) : text
}

/** Whether a value that was refused may be repeated: not where an address with a password may have gone astray. */
export function isRepeatable(text: string, { secret }: Setting): boolean {
  return secret === undefined && !/@|:\/\//.test(text)
}

/** Leaves scheme, user, host and path. A user without a password may be a token, parameters may be anything. */
function maskUrl(text: string): string {
  const url = URL.parse(text)
  if (!url) return MASK
  const user = url.password ? `${url.username}:${MASK}@` : url.username && `${MASK}@`
  return `${url.protocol}//${user}${url.host}${url.pathname}${url.search && `?${MASK}`}`
}
