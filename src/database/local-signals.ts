// Wakes listeners in this process only: all that the embedded engine needs, and the first half of
// what PostgreSQL does.

import type { Channel, Signals } from './database.ts'

export function createLocalSignals(): Signals {
  const listeners = new Map<Channel, Set<() => void>>()
  const pending = new Set<Channel>()
  const of = (channel: Channel) => {
    let set = listeners.get(channel)
    if (!set) {
      set = new Set()
      listeners.set(channel, set)
    }
    return set
  }
  return {
    send: (channel) => {
      if (pending.has(channel)) return
      pending.add(channel)
      setImmediate(() => {
        pending.delete(channel)
        for (const wake of of(channel)) wake()
      })
    },
    listen: (channel, wake) => {
      of(channel).add(wake)
      return { [Symbol.dispose]: () => void of(channel).delete(wake) }
    },
  }
}
