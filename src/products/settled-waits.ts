// Waiting until no picture of a product is under way any more. Nobody polls: each change of a product
// wakes those who wait for it, and they look again.

import { addAbortListener } from 'node:events'
import { isAppError } from '../errors.ts'
import { type Alarm, createAlarm } from '../lib/alarm.ts'
import type { Representation, WaitOptions } from './product.ts'

export interface SettledWaits {
  /** The product changed. To be called once reads show the change. */
  wake(productId: string): void
  /**
   * Resolves to the product once its pictures are settled, or to the latest that is known of it when
   * the time is up, when `signal` aborts, or when it was deleted. Never rejects: whoever waits has made a change already.
   */
  wait(product: Representation, options: WaitOptions): Promise<Representation>
}

export interface SettledWaitsOptions {
  /** Throws `not_found` for a product that is gone. */
  read(productId: string): Promise<Representation>
  /** Monotonic milliseconds. */
  now?: () => number
}

export function createSettledWaits({
  read,
  now = () => performance.now(),
}: SettledWaitsOptions): SettledWaits {
  const places = createPlaces()
  return {
    wake: (productId) => {
      for (const alarm of places.of(productId)) alarm.ring()
    },
    wait: async (product, { timeoutMs, signal }) => {
      if (product.isSettled) return product
      const until = now() + timeoutMs
      const alarm = createAlarm()
      using _place = places.take(product.id, alarm)
      using _listener = addAbortListener(signal, alarm.ring)
      for (let latest = product; ; ) {
        // Looked at after the place was taken: a change from here on rings.
        const found = await look(latest, read)
        latest = found.product
        const leftMs = until - now()
        if (found.isOver || signal.aborted || leftMs <= 0) return latest
        await alarm.wait(leftMs)
      }
    },
  }
}

/** What cannot be read at the moment is as it was; the next change, or the end of the time, tells more. */
async function look(
  latest: Representation,
  read: SettledWaitsOptions['read'],
): Promise<{ product: Representation; isOver: boolean }> {
  try {
    const product = await read(latest.id)
    return { product, isOver: product.isSettled }
  } catch (error) {
    return { product: latest, isOver: !isAppError(error, 'unavailable') }
  }
}

/** Who waits for which product. */
function createPlaces() {
  const taken = new Map<string, Set<Alarm>>()
  return {
    of: (productId: string): Iterable<Alarm> => taken.get(productId) ?? [],
    take: (productId: string, alarm: Alarm): Disposable => {
      const alarms = taken.get(productId) ?? new Set()
      taken.set(productId, alarms.add(alarm))
      return {
        [Symbol.dispose]: () => {
          alarms.delete(alarm)
          if (alarms.size === 0 && taken.get(productId) === alarms) taken.delete(productId)
        },
      }
    },
  }
}
