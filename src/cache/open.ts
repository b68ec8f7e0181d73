// Chooses the adapter, and imports it only when it is the one. A process that has nobody to share with has none.

import type { SharedCache } from './cache.ts'
import type { RedisCacheOptions } from './redis.ts'

export type SharedCacheOptions = { kind: 'none' } | ({ kind: 'redis' } & RedisCacheOptions)

export async function openSharedCache(
  options: SharedCacheOptions,
): Promise<SharedCache | undefined> {
  switch (options.kind) {
    case 'none':
      return undefined
    case 'redis':
      return (await import('./redis.ts')).createRedisCache(options)
  }
}
