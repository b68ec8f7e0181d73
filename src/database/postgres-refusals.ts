// What to tell an operator when PostgreSQL cannot be opened: what was tried, what it answered, what
// to check. Never the password.

import pg from 'pg'
import { AppError } from '../errors.ts'
import { sqlState, toAppError, unavailable } from './sql-errors.ts'

/** `PostgreSQL at db.example:5432, database "vitrine", user "app"`. */
export function describeServer(connection: pg.ClientConfig): string {
  const { host, port, database, user } = new pg.Client(connection)
  return `PostgreSQL at ${host}:${port}, database "${database}", user "${user}"`
}

/** By SQLSTATE: answers that stay the same until somebody corrects something. */
const advice: Readonly<Record<string, string>> = {
  '28P01': 'check the user and the password',
  '28000': 'check the user, and that pg_hba.conf of the server lets it in from here',
  '3D000': 'create the database, or check its name',
  '42501': 'give the user the right to connect to this database',
}

/** The same for what has no SQLSTATE: it is said by the driver or by TLS. */
const adviceOnText: readonly [RegExp, string][] = [
  [
    /password must be a string/,
    'the server asks for a password and none is set: give it in DATABASE_URL or DB_PASSWORD',
  ],
  [/SSL|TLS|certificate/i, 'check the TLS mode and the certificates'],
]

/** `unavailable` when another try may succeed, else an Error that says what to correct. */
export function explainRefusal(error: unknown, connection: pg.ClientConfig): Error {
  const server = describeServer(connection)
  const answer = textOf(error)
  const hint =
    advice[sqlState(error) ?? ''] ?? adviceOnText.find(([pattern]) => pattern.test(answer))?.[1]
  if (hint !== undefined)
    return new Error(`${server} refused: ${answer}; ${hint}`, { cause: error })
  return toAppError(error) instanceof AppError
    ? unavailable(error, `${server} cannot be reached: ${answer}`)
    : new Error(`${server} cannot be opened: ${answer}`, { cause: error })
}

/** A name with several addresses fails with one error for each, and without a message of its own. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(textOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}
