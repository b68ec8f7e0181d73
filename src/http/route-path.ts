// From the request's target to the address that routes are declared with: `/api/v1` is the canonical
// base and falls away, so both bases answer the same by construction.

import { BASE } from './app.ts'

/** Understands the absolute form (`GET http://host/path`) too, as servers must (RFC 9112 §3.2.2). */
export function toRoutePath(target: string): string {
  const path = target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '')
  const rooted = path === '' || path.startsWith('?') ? `/${path}` : path
  if (!rooted.startsWith(BASE)) return rooted
  const rest = rooted.slice(BASE.length)
  if (rest.startsWith('/')) return rest
  return rest === '' || rest.startsWith('?') ? `/${rest}` : rooted
}
