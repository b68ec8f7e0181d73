// An amount of time that may be spent: a deadline whose clock stands still while its owner waits for others.

/** Passes a promise on, and leaves the time until it has settled out of some account. */
export type Wait = <T>(turn: Promise<T>) => Promise<T>

export interface Allowance extends Disposable {
  /** The clock stands still until the promise has settled. One wait at a time. */
  wait: Wait
}

/** Calls `spent` once `ms` have passed without the waits, unless it is disposed of before. */
export function startAllowance(ms: number, spent: () => void): Allowance {
  let leftMs = ms
  let since = performance.now()
  let isOver = false
  const end = () => {
    isOver = true
    spent()
  }
  let timer = setTimeout(end, ms)
  return {
    wait: async (turn) => {
      clearTimeout(timer)
      leftMs -= performance.now() - since
      try {
        return await turn
      } finally {
        since = performance.now()
        if (!isOver) timer = setTimeout(end, leftMs)
      }
    },
    [Symbol.dispose]: () => {
      isOver = true
      clearTimeout(timer)
    },
  }
}
