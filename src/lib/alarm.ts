// A pause that can be cut short.

export interface Alarm {
  /** Ends the wait under way, or the next one as soon as it begins. */
  ring(): void
  /** Resolves when rung, or after so many milliseconds. One wait at a time. */
  wait(ms: number): Promise<void>
}

export function createAlarm(): Alarm {
  let rung = Promise.withResolvers<void>()
  return {
    ring: () => rung.resolve(),
    wait: async (ms) => {
      const timer = setTimeout(rung.resolve, ms)
      await rung.promise
      clearTimeout(timer)
      rung = Promise.withResolvers()
    },
  }
}
