// W3C Trace Context (https://www.w3.org/TR/trace-context/): one id from the request that asked for a
// picture to the job that made it, across processes.

import { randomBytes } from 'node:crypto'

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * A `traceparent` for work of our own: a new span in the caller's trace, or in a new trace when the
 * caller sent none, or a malformed one (which the specification says to ignore).
 */
export function continueTrace(incoming: string | undefined): string {
  const caller = parse(incoming)
  const traceId = caller?.traceId ?? randomBytes(16).toString('hex')
  return `00-${traceId}-${randomBytes(8).toString('hex')}-${caller?.flags ?? '01'}`
}

/** The trace id within a `traceparent`; undefined when it is not one. */
export function traceIdOf(traceparent: string): string | undefined {
  return parse(traceparent)?.traceId
}

function parse(header: string | undefined): { traceId: string; flags: string } | undefined {
  const [, version, traceId, parentId, flags, more] = TRACEPARENT.exec(header ?? '') ?? []
  if (version === undefined || traceId === undefined || flags === undefined) return undefined
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId ?? '')) return undefined
  return { traceId, flags }
}
