// The contract of the shared cache on Redis.

import { after, before } from 'node:test'
import { type RedisProcess, startRedisServer } from '../../scripts/engines/redis.ts'
import { createRedisCache } from '../../src/cache/redis.ts'
import { describeOnRedis, describeWithRedisServer, redisAt } from '../support/redis.ts'
import { describeSharedCache, describeSharedCacheOutages } from './cache.ts'

describeOnRedis('the shared cache on Redis', () => {
  describeSharedCache(() => createRedisCache(redisAt()))
})

describeWithRedisServer('the shared cache on a Redis that goes and comes', () => {
  let server: RedisProcess
  before(async () => {
    server = await startRedisServer()
  })
  after(() => server[Symbol.asyncDispose]())
  describeSharedCacheOutages(
    () => createRedisCache(redisAt(server.url)),
    () => server,
  )
})
