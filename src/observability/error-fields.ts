// An error as the log has it: with what its thrower knew, under names like all others in the log.

import { stdSerializers } from 'pino'

/** For `err`: type, message and stack, causes included, and the error's own members in snake_case. */
export function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { raw: _raw, ...fields } = stdSerializers.err(error)
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [snakeCase(name), value]))
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`)
}
