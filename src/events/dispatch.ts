// Who in this process wants to hear of which events. One product's followers hear of an event at once,
// all others once everything before it is decided.

import type { LoggedEvent } from './events.ts'

/** Which events somebody follows: one product's, one user's, or all. */
export type Scope = { productId: string } | { userId: string | undefined }

export interface Subscriber {
  /** In the order of ids, as far as the scope promises one. */
  push(event: LoggedEvent): void
  /** What was pushed may not be all: the log itself must be read. */
  reread(): void
}

export interface Dispatch {
  add(scope: Scope, subscriber: Subscriber): Disposable
  /** For the product's followers. */
  pushNew(event: LoggedEvent): void
  /** As `pushNew`, when an earlier event of the product may have been missed. */
  rereadProduct(productId: string): void
  /** For everybody else's. */
  pushDecided(event: LoggedEvent): void
  rereadDecided(): void
  rereadAll(): void
  /** Whether anybody waits for decided events. */
  wantsDecided(): boolean
}

export function createDispatch(): Dispatch {
  const ofProduct = createGroups()
  const ofUser = createGroups()
  const ofAll = createGroups()
  const groupsOf = (scope: Scope): [Groups, string] => {
    if ('productId' in scope) return [ofProduct, scope.productId]
    return scope.userId === undefined ? [ofAll, ''] : [ofUser, scope.userId]
  }
  const rereadDecided = () => {
    for (const groups of [ofUser, ofAll]) for (const one of groups.everybody()) one.reread()
  }
  return {
    add: (scope, subscriber) => {
      const [groups, key] = groupsOf(scope)
      return groups.add(key, subscriber)
    },
    pushNew: (event) => {
      for (const one of ofProduct.get(event.productId)) one.push(event)
    },
    rereadProduct: (productId) => {
      for (const one of ofProduct.get(productId)) one.reread()
    },
    pushDecided: (event) => {
      for (const one of ofUser.get(event.userId)) one.push(event)
      for (const one of ofAll.get('')) one.push(event)
    },
    rereadDecided,
    rereadAll: () => {
      for (const one of ofProduct.everybody()) one.reread()
      rereadDecided()
    },
    wantsDecided: () => ofUser.isUsed() || ofAll.isUsed(),
  }
}

interface Groups {
  add(key: string, subscriber: Subscriber): Disposable
  get(key: string): Iterable<Subscriber>
  everybody(): Iterable<Subscriber>
  isUsed(): boolean
}

function createGroups(): Groups {
  const groups = new Map<string, Set<Subscriber>>()
  return {
    add: (key, subscriber) => {
      const group = groups.get(key) ?? new Set()
      groups.set(key, group.add(subscriber))
      return {
        [Symbol.dispose]: () => {
          group.delete(subscriber)
          // A group that was emptied may have been replaced by another meanwhile.
          if (group.size === 0 && groups.get(key) === group) groups.delete(key)
        },
      }
    },
    get: (key) => groups.get(key) ?? [],
    everybody: () => [...groups.values()].flatMap((group) => [...group]),
    isUsed: () => groups.size > 0,
  }
}
