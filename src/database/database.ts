// The database port: what the rest of Vitrine may ask of PostgreSQL or of its embedded stand-in.
// Both adapters speak through the same Kysely dialect, run the same SQL and return the same types.

import type { Kysely, Transaction } from 'kysely'

/** Runs one statement outside any transaction. Statements are written in SQL, so Kysely knows no tables. */
export type Db = Kysely<unknown>
/** Runs statements inside the transaction that handed it out. */
export type Tx = Transaction<unknown>
/** Either: for statements that may stand alone or be part of something. */
export type Executor = Db | Tx

/** `jobs`: something became due. `bells`: jobs were announced. `events`: the log grew. */
export type Channel = 'jobs' | 'bells' | 'events'
export const channels: readonly Channel[] = ['jobs', 'bells', 'events']

/**
 * Wakes sleepers in this process and, on PostgreSQL, in every other. A hint, never the truth: it may
 * come late, twice, or not at all, so every listener also polls.
 */
export interface Signals {
  /** Wakes the channel's listeners, here at once, elsewhere soon. Coalesced; never waits, never throws. Call it after the commit. */
  send(channel: Channel): void
  /** Calls `wake` after each signal until disposed, and when signals may have been missed. `wake` must not throw. */
  listen(channel: Channel, wake: () => void): Disposable
}

/**
 * The raw session of `Database.exclusive`: no observer, no named statements, no time limit of the driver's. The
 * server's own stays in force unless `work` lifts it.
 */
export interface RawSession {
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Runs a whole file of statements. */
  script(text: string): Promise<void>
}

export interface Database extends AsyncDisposable {
  readonly engine: 'pglite' | 'postgres'
  /** For single statements. Using it while a transaction is open in the same call chain throws. */
  readonly db: Db
  /**
   * Runs `work` in one READ COMMITTED transaction: commits when it resolves, rolls back when it
   * throws. Use cases get the transaction only: on the embedded engine, which has one connection,
   * a query on `db` in here would wait for ever. Throws when a statement failed although `work` went
   * on: nothing was committed. `unavailable` from a lost connection may come after a commit.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Lends one session for what Kysely cannot say: migrations. Closed afterwards if `work` throws. */
  exclusive<T>(work: (session: RawSession) => Promise<T>): Promise<T>
  readonly signals: Signals
  /**
   * Resolves when a trivial statement was answered or, while no session is free, when PostgreSQL let one more in or
   * refused it; throws `unavailable` otherwise, within `timeoutMs` (2,000).
   */
  ping(timeoutMs?: number): Promise<void>
  /** Refuses new work with `unavailable`, waits for what runs or waits for a session, closes. May be called again. */
  [Symbol.asyncDispose](): Promise<void>
}
