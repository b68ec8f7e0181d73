// What is kept of a message that is no bell, beside its body: enough to recognise it, and never more than can be
// written again. The broker hands out what this client cannot send: headers of any size, numbers that are none,
// text that takes more bytes once it has been read.

import type { AsyncMessage, Envelope } from 'rabbitmq-client'
import type { ReasonHeaders } from './judge.ts'

/** Of a short string, which is what names and properties are. */
const SHORT_BYTES = 255
/** With the rest of what comes before the body, within the smallest frame that a broker may ask for: 4,096. */
const HEADERS_BYTES = 2_048
/** Of its properties, what tells of the body and of its sender; the rest is about how it got here. */
const kept = ['contentType', 'contentEncoding', 'messageId', 'type', 'appId'] as const

/** Properties and headers of the copy that lies with the dead. Headers of `reason` stand before those of the same name. */
export function refusedEnvelope(message: AsyncMessage, reason: ReasonHeaders): Envelope {
  const properties = kept.flatMap((name) => {
    const value = message[name]
    return isShort(value) ? [[name, value] as const] : []
  })
  return {
    ...Object.fromEntries(properties),
    headers: { ...shortHeaders(message.headers ?? {}), ...reason },
  }
}

/** Those that are short texts, as many as there is room for. */
function shortHeaders(headers: Record<string, unknown>): Record<string, unknown> {
  let room = HEADERS_BYTES
  const fitting = Object.entries(headers).filter(([name, value]) => {
    if (!isShort(name) || !isShort(value)) return false
    room -= Buffer.byteLength(name) + Buffer.byteLength(value)
    return room >= 0
  })
  return Object.fromEntries(fitting)
}

function isShort(value: unknown): value is string {
  return typeof value === 'string' && Buffer.byteLength(value) <= SHORT_BYTES
}
