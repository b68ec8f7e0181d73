// Which shared cache the settings mean.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { load, mistakes, PEM } from './folder.ts'

describe('the shared cache', () => {
  const server = { host: 'r', port: 6379, database: 0, tls: false }

  it('is none, until Redis is named by any of its ways', () => {
    assert.deepEqual(load({}).config.sharedCache, { kind: 'none' })
    const ways: Record<string, string>[] = [
      { CACHE_URL: 'redis://r' },
      { CACHE_URL: 'valkey://r:6379/0' },
      { REDIS_HOST: 'r' },
      { REDIS_ADDR: 'r:6379' },
      { REDIS_ADDR: 'r' },
      { REDIS_HOST: 'r', REDIS_PORT: '6379', REDIS_ADDR: 'r:6379', CACHE_URL: 'redis://r' },
    ]
    for (const env of ways) {
      const { config, warnings } = load(env)
      assert.deepEqual(config.sharedCache, { kind: 'redis', server, prefix: 'vitrine:' })
      assert.deepEqual(warnings, [])
    }
    const { settings } = load({ REDIS_PORT: '1' })
    assert.equal(settings.find(({ name }) => name === 'REDIS_HOST')?.value, 'localhost')
  })

  it('takes everything that is said of it', () => {
    const env = {
      CACHE_URL: 'rediss://app:s%40cret@[::1]:7000/12',
      REDIS_CA_FILE: 'ca.pem',
      CACHE_PREFIX: 'shop:',
    }
    const { config, warnings, settings } = load(env, { 'ca.pem': PEM })
    assert.deepEqual(warnings, [])
    assert.deepEqual(config.sharedCache, {
      kind: 'redis',
      server: {
        host: '::1',
        port: 7000,
        user: 'app',
        password: 's@cret',
        database: 12,
        tls: { ca: PEM },
      },
      prefix: 'shop:',
    })
    assert.ok(!JSON.stringify(settings).includes('cret'))
  })

  it('has the password of its own setting where its URL has none', () => {
    const passwordOf = (env: Record<string, string>) => {
      const { config, warnings } = load(env)
      const { sharedCache } = config
      return [sharedCache.kind === 'redis' && sharedCache.server.password, ...warnings]
    }
    const REDIS_PASSWORD = 'p w'
    assert.deepEqual(passwordOf({ REDIS_HOST: 'r', REDIS_PASSWORD }), ['p w'])
    assert.deepEqual(passwordOf({ CACHE_URL: 'rediss://r', REDIS_PASSWORD }), ['p w'])
    assert.deepEqual(passwordOf({ CACHE_URL: 'redis://:other@r', REDIS_PASSWORD }), [
      'other',
      'REDIS_PASSWORD (environment) has no effect: CACHE_URL (environment) has a password',
    ])
  })

  it('is where the strongest source says; others are warned about, and two of one source refused', () => {
    const { config, warnings } = load(
      { REDIS_ADDR: 'r:6379' },
      { 'config.yaml': 'redis:\n  host: other\n  port: 1\n' },
    )
    assert.deepEqual(config.sharedCache.kind === 'redis' && config.sharedCache.server, server)
    assert.deepEqual(warnings, [
      'redis.host (config.yaml) has no effect: REDIS_ADDR (environment) says where Redis is',
    ])
    assert.deepEqual(mistakes({ CACHE_URL: 'redis://r', REDIS_ADDR: 'other:6379' }), [
      'CACHE_URL (environment) and REDIS_ADDR (environment) both say where Redis is, and differ: keep one of them',
    ])
  })

  const wrongUrls = [
    'r',
    'http://r',
    'redis://',
    'redis://r:0',
    'redis://r/x',
    'redis://r/1/2',
    'redis://r?db=1',
    'redis://u:s#cret@r',
    'redis://u:s/cret@r',
    'redis://u:%zz@r',
  ]
  for (const CACHE_URL of wrongUrls) {
    it(`${CACHE_URL} is refused, and no password repeated`, () => {
      const [mistake = '', ...others] = mistakes({ CACHE_URL })
      assert.match(mistake, /must be redis:\/\/user:password@host:port\/database/)
      assert.doesNotMatch(mistake, /cret/)
      assert.deepEqual(others, [])
    })
  }
  for (const REDIS_ADDR of ['redis://r:1', 'u:cret@r:1', 'r:99999', 'r:0', ':1', 'r/1', 'a b']) {
    it(`${REDIS_ADDR} is no address`, () => {
      const [mistake = ''] = mistakes({ REDIS_ADDR })
      assert.match(mistake, /must be host:port, without a scheme/)
      assert.doesNotMatch(mistake, /cret/)
    })
  }

  it('needs a prefix and a file that are right', () => {
    const CACHE_PREFIX = 'x'.repeat(201)
    assert.match(mistakes({ CACHE_PREFIX })[0]!, /text of at most 200 bytes/)
    assert.deepEqual(mistakes({ CACHE_URL: 'rediss://r', REDIS_CA_FILE: 'none.pem' }), [
      'REDIS_CA_FILE must name a file of PEM certificates: ENOENT',
    ])
  })

  it('warns of what has no effect', () => {
    assert.deepEqual(load({ CACHE_PREFIX: 'x', REDIS_PASSWORD: 'x' }).warnings, [
      'CACHE_PREFIX (environment) has no effect: no CACHE_URL is set',
      'REDIS_PASSWORD (environment) has no effect: no CACHE_URL is set',
    ])
    assert.deepEqual(load({ REDIS_HOST: 'r', REDIS_CA_FILE: 'x' }).warnings, [
      'REDIS_CA_FILE (environment) has no effect, because Redis is reached without TLS',
    ])
  })
})
