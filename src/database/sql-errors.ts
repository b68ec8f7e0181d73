// Turns what a driver throws into what the rest of Vitrine understands. The only place that knows
// SQLSTATE classes (PostgreSQL documentation, appendix A) and socket error codes.

import { AppError } from '../errors.ts'

/** Seconds a client is asked to wait while the database is away; start-up of PostgreSQL takes 1–2 s. */
const RETRY_AFTER_MS = 2_000

const NOT_REACHABLE =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT)$/

/** 08: connection; 57P0x: shut down or starting; 53: out of connections, memory, disk; 40: deadlock, serialisation. */
const UNAVAILABLE_SQLSTATE = /^(08...|57P0[1-5]|53...|40001|40P01|25P0[34]|55P03|57014)$/

export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** `unavailable` when the database is away or overloaded; anything else comes back as it was. */
export function toAppError(error: unknown): unknown {
  if (error instanceof AppError || !isUnavailable(error)) return error
  return new AppError('unavailable', 'The database cannot be reached or does not answer.', {
    retryAfterMs: RETRY_AFTER_MS,
    cause: error,
  })
}

function isUnavailable(error: unknown): boolean {
  const state = sqlState(error)
  if (state && UNAVAILABLE_SQLSTATE.test(state)) return true
  const { code, message, errors } = (error ?? {}) as {
    code?: string
    message?: string
    errors?: unknown[]
  }
  if (Array.isArray(errors)) return errors.some(isUnavailable)
  return (
    (code !== undefined && NOT_REACHABLE.test(code)) ||
    /Connection terminated|timeout exceeded when trying to connect|not queryable/i.test(
      message ?? '',
    )
  )
}
