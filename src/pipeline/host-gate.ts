// At most so many pictures of one origin at a time, so that a slow origin does not take every slot.

export interface HostGate {
  /** A place at this URL's host, left by disposing of it; undefined when all are taken. */
  enter(url: string): Disposable | undefined
}

export function createHostGate(perHost: number): HostGate {
  const inside = new Map<string, number>()
  const leave = (host: string) => {
    const left = (inside.get(host) ?? 1) - 1
    if (left > 0) inside.set(host, left)
    else inside.delete(host)
  }
  return {
    enter: (url) => {
      const host = URL.parse(url)?.host ?? ''
      const taken = inside.get(host) ?? 0
      if (taken >= perHost) return undefined
      inside.set(host, taken + 1)
      return { [Symbol.dispose]: () => leave(host) }
    },
  }
}
