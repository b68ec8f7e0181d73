// Requests that are no good whatever they are for.

import type { FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import type { NarrowerStatus } from './problem.ts'

const EXPECTATION_FAILED = 417

/** Why the request is refused, which Node would answer without a body, or let pass; undefined when it is not. */
export function refusalOf({
  raw,
}: FastifyRequest): { error: AppError; status?: NarrowerStatus } | undefined {
  const { headers, rawHeaders, httpVersion } = raw
  // RFC 9112 §3.2: neither without a Host nor with two, of which others may see the other one.
  if (headers.host === undefined && httpVersion === '1.1') {
    return { error: new AppError('invalid_input', 'The Host header is missing.') }
  }
  if (countOf('host', rawHeaders) > 1) {
    return { error: new AppError('invalid_input', 'There is more than one Host header.') }
  }
  if (headers.expect === undefined || /^100-continue$/i.test(headers.expect)) return undefined
  const error = new AppError('invalid_input', 'Nothing but 100-continue can be expected.')
  return { error, status: EXPECTATION_FAILED }
}

/** `raw` is names and values by turns, as they came. */
function countOf(name: string, raw: readonly string[]): number {
  let count = 0
  for (let at = 0; at < raw.length; at += 2) {
    const other = raw[at] ?? ''
    if (other.length === name.length && other.toLowerCase() === name) count++
  }
  return count
}
