// Turns what a driver throws into what the rest of Vitrine understands. The only place that knows
// SQLSTATE classes (PostgreSQL documentation, appendix A) and socket error codes.

import { AppError } from '../errors.ts'

/** What a client is asked to wait while the database is away: start-up of PostgreSQL takes 1–2 s. */
const RETRY_AFTER_MS = 2_000

const NOT_REACHABLE =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT|EACCES)$/

/** What `pg` says without a code when its socket is gone or its client-side deadline has passed. */
const DRIVER_LOST =
  /Connection terminated|not queryable|Query read timeout|timeout expired|timeout exceeded when trying to connect/

/**
 * The session is gone or must not be used again. 08: connection. 57P0x: shut down, starting up.
 * 53300: no session to be had. 25P03, 25P04: it was idle in its transaction, or in it for too long.
 * 25006: a standby where a primary was. 26000: a pooler between us handed out another session.
 */
const SESSION_LOST = /^(08...|57P0[1-5]|53300|25P0[34]|25006|26000)$/

/** What the server ran out of; waiting alone does not always help. */
const shortages: Readonly<Record<string, string>> = {
  '53100':
    'The disk of the database is full: it stores nothing more until somebody makes room there.',
  '53200': 'The server of the database is out of memory.',
}

/**
 * This statement failed for want of something, and may succeed later on the same session. 40: deadlock,
 * serialisation. 53: memory, disk and other limits. 55P03: lock. 57014: it took longer than `statement_timeout`, which
 * on the statements of Vitrine means overload, or an operator cancelled it.
 */
const BUSY = /^(40001|40P01|53...|55P03|57014)$/

/** The five characters that PostgreSQL classifies an error by; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  const { code } = fieldsOf(error)
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** True when a row of the same key was there, or was committed while this statement waited for it. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === '23505'
}

/** True when somebody held a lock for longer than `lock_timeout`, also of what `toAppError` made of it. */
export function isLockTimeout(error: unknown): boolean {
  return sqlState(error instanceof AppError ? error.cause : error) === '55P03'
}

/** True when the session that threw this must be closed. */
export function isSessionLost(error: unknown): boolean {
  const { code, message, errors, routine } = fieldsOf(error)
  if (Array.isArray(errors)) return errors.some(isSessionLost)
  // "cached plan must not change result type": a migration changed a table under a named statement.
  if (routine === 'RevalidateCachedQuery') return true
  return (
    (typeof code === 'string' && (SESSION_LOST.test(code) || NOT_REACHABLE.test(code))) ||
    (typeof message === 'string' && DRIVER_LOST.test(message))
  )
}

/** `unavailable` when the database is away or overloaded; anything else comes back as it was. */
export function toAppError(error: unknown): unknown {
  if (error instanceof AppError) return error
  if (isSessionLost(error)) return unavailable(error)
  const state = sqlState(error) ?? ''
  if (BUSY.test(state))
    return unavailable(error, shortages[state] ?? 'The database is too busy to answer.')
  return error
}

/** With the time after which another try makes sense. */
export function unavailable(
  cause: unknown,
  message = 'The database cannot be reached or does not answer.',
): AppError {
  return new AppError('unavailable', message, { retryAfterMs: RETRY_AFTER_MS, cause })
}

function fieldsOf(error: unknown): {
  code?: unknown
  message?: unknown
  errors?: unknown
  routine?: unknown
} {
  return typeof error === 'object' && error !== null ? error : {}
}
