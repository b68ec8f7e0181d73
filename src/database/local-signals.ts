// Wakes listeners in this process only: all that the embedded engine needs, and the first half of
// what PostgreSQL does.

import { AsyncLocalStorage } from 'node:async_hooks'
import { type Channel, channels, type Signals } from './database.ts'

export function createLocalSignals(): Signals {
  const listeners = new Map<Channel, Set<() => void>>()
  for (const channel of channels) listeners.set(channel, new Set())
  const pending = new Set<Channel>()
  return {
    send: (channel) => {
      if (pending.has(channel)) return
      pending.add(channel)
      setImmediate(() => {
        pending.delete(channel)
        for (const wake of listeners.get(channel) ?? []) wake()
      })
    },
    listen: (channel, wake) => {
      // In the listener's context, not the sender's: a sender may stand inside a transaction.
      const bound = AsyncLocalStorage.bind(wake)
      listeners.get(channel)?.add(bound)
      return { [Symbol.dispose]: () => void listeners.get(channel)?.delete(bound) }
    },
  }
}
