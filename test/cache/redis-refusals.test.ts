// What a Redis says no to is told to the operator, and not taken for an outage; and TLS as it should be.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type RedisProcess, startRedisServer } from '../../scripts/engines/redis.ts'
import { createRedisCache, type RedisServer } from '../../src/cache/redis.ts'
import { isAppError } from '../../src/errors.ts'
import { type Certificate, selfSigned } from '../support/origin.ts'
import { connectRedis, describeWithRedisServer, redisAt } from '../support/redis.ts'

const PASSWORD = 'p@ss:word/%1'

describeWithRedisServer('a Redis with a password and a certificate', () => {
  let certificate: Certificate
  let redis: RedisProcess
  before(async () => {
    certificate = await selfSigned()
    redis = await startRedisServer({ tls: certificate })
    await using tools = await connectRedis(redis.url)
    await tools.configSet('requirepass', PASSWORD)
  })
  after(() => redis[Symbol.asyncDispose]())

  const connect = (changes: Partial<RedisServer>) => {
    const { server, prefix } = redisAt(redis.url)
    const cache = createRedisCache({
      server: { ...server, password: PASSWORD, ...changes },
      prefix,
    })
    return cache.connect(() => {})
  }
  const refused = async (changes: Partial<RedisServer>, expected: RegExp) => {
    await assert.rejects(connect(changes), (error: Error) => {
      assert.match(error.message, expected)
      assert.ok(!isAppError(error), 'waiting does not help')
      assert.ok(!error.message.includes(PASSWORD) && !error.message.includes('wrong'))
      return true
    })
  }

  test('lets in who has the password', async () => {
    await using connection = await connect({})
    await connection.ping()
  })

  test('refuses who has another or none, and a database that it does not have', async () => {
    const ask = /Redis at 127\.0\.0\.1:\d+ refused: .*; check CACHE_URL and REDIS_PASSWORD$/
    await refused({ password: 'wrong' }, ask)
    await refused({ password: 'wrong', user: 'nobody' }, ask)
    const { server, prefix } = redisAt(redis.url)
    await assert.rejects(
      createRedisCache({ server, prefix }).connect(() => {}),
      ask,
    )
    await refused({ database: 99 }, /DB index.*check the number of the database/)
  })

  test('speaks TLS with who trusts its certificate, and with nobody else', async () => {
    const reach = { host: 'localhost', port: redis.tlsPort }
    await using connection = await connect({ ...reach, tls: { ca: certificate.cert } })
    await connection.ping()
    await refused({ ...reach, tls: {} }, /certificate.*check REDIS_CA_FILE/)
    const elsewhere = {
      ...reach,
      host: '127.0.0.1',
      tls: { ca: (await selfSigned(['DNS:x'])).cert },
    }
    await refused(elsewhere, /certificate.*check REDIS_CA_FILE/)
  })
})
