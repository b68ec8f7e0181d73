// A fixed number of places, given out in the order of asking.

export interface Slots {
  /** Waits for a free place, which is given back by disposing of it; undefined once `signal` is aborted. */
  take(signal: AbortSignal): Promise<Slot | undefined>
}

export interface Slot {
  /** May be called again. */
  release(): void
}

export function createSlots(count: number): Slots {
  let free = count
  const waiting = new Set<() => void>()

  const release = () => {
    const [next] = waiting
    if (next) next()
    else free++
  }
  const createSlot = (): Slot => {
    let isHeld = true
    return {
      release: () => {
        if (isHeld) release()
        isHeld = false
      },
    }
  }
  return {
    take: async (signal) => {
      if (signal.aborted) return undefined
      if (free > 0) {
        free--
        return createSlot()
      }
      const { promise, resolve } = Promise.withResolvers<Slot | undefined>()
      const grant = () => {
        leave()
        resolve(createSlot())
      }
      const give = () => {
        leave()
        resolve(undefined)
      }
      const leave = () => {
        waiting.delete(grant)
        signal.removeEventListener('abort', give)
      }
      waiting.add(grant)
      signal.addEventListener('abort', give)
      return await promise
    },
  }
}
