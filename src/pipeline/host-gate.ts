// At most so many pictures of one origin at a time, so that a slow origin does not take every slot.

export interface HostGate {
  /** Whether one more of this URL's host would be let in at once. */
  hasRoom(url: string): boolean
  /** Waits for a place; leaves it when the result is disposed. Rejects with the signal's reason. */
  enter(url: string, signal: AbortSignal): Promise<Disposable>
}

export function createHostGate(perHost: number): HostGate {
  const inside = new Map<string, number>()
  const waiting = new Map<string, (() => void)[]>()
  const hostOf = (url: string) => URL.parse(url)?.host ?? ''
  const count = (host: string) => (inside.get(host) ?? 0) + (waiting.get(host)?.length ?? 0)

  const leave = (host: string) => {
    const next = waiting.get(host)?.shift()
    if (next) return next()
    const left = (inside.get(host) ?? 1) - 1
    if (left > 0) return void inside.set(host, left)
    inside.delete(host)
    waiting.delete(host)
  }
  const wait = async (host: string, signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const queue = waiting.get(host) ?? []
    waiting.set(host, queue)
    queue.push(resolve)
    const abort = () => {
      const place = queue.indexOf(resolve)
      if (place < 0) return // let in already
      queue.splice(place, 1)
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    await promise.finally(() => signal.removeEventListener('abort', abort))
  }
  return {
    hasRoom: (url) => count(hostOf(url)) < perHost,
    enter: async (url, signal) => {
      signal.throwIfAborted()
      const host = hostOf(url)
      const taken = inside.get(host) ?? 0
      if (taken < perHost) inside.set(host, taken + 1)
      else await wait(host, signal)
      return { [Symbol.dispose]: () => leave(host) }
    },
  }
}
