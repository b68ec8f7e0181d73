// The leases that this process holds: extended together, and given up by our own clock when the
// database cannot be told that we live. A lease lost is never an error here: the ledger fences.

import type { Db } from '../database/database.ts'
import type { Logger } from '../observability/logger.ts'
import { extendLeases, type Held, readClaims } from './heartbeat.ts'
import { openSchedule } from './schedule.ts'

export interface Leases extends AsyncDisposable {
  /**
   * Keeps the lease of a claim until disposed. `onLost` is called once when another has the job, or
   * may have it: when the lease must have run out. `claimedAt`: `now()` before the claim was asked for.
   */
  hold(held: Held, claimedAt: number, onLost: () => void): Lease
}

export interface Lease extends Disposable {
  readonly isLost: boolean
}

export interface LeasesOptions {
  db: Db
  leaseMs: number
  heartbeatMs: number
  log: Logger
  /** Monotonic milliseconds. */
  now: () => number
}

interface Entry extends Held {
  expiresAt: number
  isLost: boolean
  onLost: () => void
}

/** Closing it ends the heartbeats; the leases run out by themselves. */
export function openLeases({ db, leaseMs, heartbeatMs, log, now }: LeasesOptions): Leases {
  const entries = new Set<Entry>()
  const lose = (entry: Entry) => {
    entries.delete(entry)
    entry.isLost = true
    entry.onLost()
  }

  const beat = async () => {
    const held = [...entries]
    if (held.length === 0) return
    const startedAt = now() // the database's lease is counted from later on: ours ends first
    const extended = await extendLeases(db, held, leaseMs)
    const missed = held.filter(({ claim }) => !extended.has(claim))
    const locked = missed.length > 0 ? await readClaims(db, missed) : extended
    for (const entry of held) {
      if (extended.has(entry.claim)) entry.expiresAt = startedAt + leaseMs
      else if (entries.has(entry) && !locked.has(entry.claim)) lose(entry)
    }
  }
  const expire = () => {
    for (const entry of entries) if (entry.expiresAt <= now()) lose(entry)
  }

  const heartbeat = openSchedule({
    name: 'extending leases',
    everyMs: heartbeatMs,
    task: beat,
    log,
  })
  // Apart from the heartbeat, which may hang with the database.
  const watch = setInterval(expire, heartbeatMs / 4)
  return {
    hold: ({ id, claim }, claimedAt, onLost) => {
      const entry = { id, claim, expiresAt: claimedAt + leaseMs, isLost: false, onLost }
      entries.add(entry)
      return {
        get isLost() {
          return entry.isLost
        },
        [Symbol.dispose]: () => void entries.delete(entry),
      }
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(watch)
      await heartbeat[Symbol.asyncDispose]()
    },
  }
}
