// One process at a time on an embedded database: a second one would not be noticed by PGlite and
// corrupts the data in silence.

import { DatabaseSync } from 'node:sqlite'

/**
 * Takes `path` for this process until disposed, or until the process is gone however it ended: the
 * lock under an exclusive SQLite transaction is the kernel's. (A file with a pid in it outlives a
 * kill, and its pid may by then be somebody else's.) Undefined when another holds it.
 */
export function takeLock(path: string): Disposable | undefined {
  const lock = new DatabaseSync(path, { timeout: 0 })
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if (isBusy(error)) return undefined
    throw error
  }
  return { [Symbol.dispose]: () => lock.close() }
}

const SQLITE_BUSY = 5

function isBusy(error: unknown): boolean {
  return (error as { errcode?: unknown }).errcode === SQLITE_BUSY
}
