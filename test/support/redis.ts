// Redis for tests: a prefix of one's own on the server that TEST_REDIS_URL names, or a whole server to
// stop and to kill.

import { randomUUID } from 'node:crypto'
import { describe } from 'node:test'
import { createClient } from 'redis'
import { isRedisInstalled } from '../../scripts/engines/redis.ts'
import type { RedisCacheOptions } from '../../src/cache/redis.ts'
import { skipUnlessRequired } from './required.ts'

export const redisUrl = process.env.TEST_REDIS_URL || ''

/** Says why it is left out, and fails instead where it is required (CI). */
export function describeOnRedis(name: string, suite: () => void): void {
  const missing = redisUrl === '' ? 'TEST_REDIS_URL is not set' : undefined
  describe(name, { skip: skipUnlessRequired('redis', missing) }, suite)
}

/** For suites that start a server of their own. */
export function describeWithRedisServer(name: string, suite: () => void): void {
  const missing = isRedisInstalled ? undefined : 'no Redis server is installed'
  describe(name, { skip: skipUnlessRequired('redis', missing) }, suite)
}

/** Options that share nothing with anybody. */
export function redisAt(url = redisUrl): RedisCacheOptions {
  const { hostname: host, port, password } = new URL(url)
  const secret = password === '' ? {} : { password: decodeURIComponent(password) }
  return {
    server: { host, port: Number(port || 6379), database: 0, tls: false, ...secret },
    prefix: `vitrine-test-${randomUUID()}:`,
  }
}

/** A client as an operator's tools are. */
export async function connectRedis(url = redisUrl) {
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  return Object.assign(client, {
    [Symbol.asyncDispose]: async () => {
      if (client.isOpen) client.destroy()
    },
  })
}
