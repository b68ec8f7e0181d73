// One way of sending values for both adapters: each becomes the text that PostgreSQL itself reads, so
// that neither driver's own ideas (an array for jsonb, a Date in local time) can make them differ.

import { formatArray } from './arrays.ts'

/**
 * The text of each value, null for NULL. Lists become arrays, other objects JSON, bytes hex, dates
 * UTC. A string stands for itself: what goes into a `jsonb` column as a string must be JSON text, and
 * so must a list (`JSON.stringify`). Throws a TypeError for `undefined`, which would hide a mistake
 * as NULL, and for what has no text.
 */
export function encodeParameters(values: readonly unknown[]): (string | null)[] {
  return values.map((value, index) => {
    try {
      return value === null ? null : encode(value)
    } catch (cause) {
      throw new TypeError(`parameter $${index + 1} cannot be sent: ${describe(cause)}`, { cause })
    }
  })
}

function encode(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'object':
      return encodeObject(value ?? {})
    default:
      throw new TypeError(
        `it is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`,
      )
  }
}

function encodeObject(value: object): string {
  if (Array.isArray(value)) return formatArray(value, encode)
  if (value instanceof Date) return value.toISOString()
  if (ArrayBuffer.isView(value))
    return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`
  return JSON.stringify(value)
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
