// The files that services of this kind document start Vitrine unchanged.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { folderWith } from './folder.ts'

const fixture = (name: string) =>
  readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8')

const connection = {
  host: 'localhost',
  port: 5432,
  user: 'postgres',
  password: 'password',
  database: 'product_management',
  ssl: false,
}

const rabbitmq = {
  host: 'localhost',
  port: 5672,
  user: 'guest',
  password: 'guest',
  vhost: '/',
  tls: false,
}

describe('documented files', () => {
  for (const name of ['documented.env', 'other-spelling.env']) {
    it(`${name} works as it is`, () => {
      using folder = folderWith({ '.env': fixture(name) })
      const { config } = folder.load()
      assert.deepEqual(config.database, { engine: 'postgres', connection, poolSize: 10 })
      assert.equal(config.server.host, '0.0.0.0')
      assert.deepEqual(config.queue.kind === 'rabbitmq' && config.queue.server, rabbitmq)
      assert.deepEqual(config.storage, {
        kind: 's3',
        bucket: 'product-images',
        region: 'us-east-1',
        forcePathStyle: false,
        credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'wJalrEXAMPLEKEY' },
        createBucket: false,
      })
    })
  }

  it('documented.yaml works as it is', () => {
    using folder = folderWith({ 'config.yaml': fixture('documented.yaml') })
    const { config } = folder.load()
    assert.deepEqual(config.database, { engine: 'postgres', connection, poolSize: 10 })
    assert.deepEqual(config.server, {
      host: 'localhost',
      port: 8081,
      publicUrl: 'http://localhost:8081',
      corsOrigins: [],
    })
    assert.deepEqual(config.queue.kind === 'rabbitmq' && config.queue.server, rabbitmq)
  })

  it('names of engines that are not there get one warning each, which says what is used instead', () => {
    using folder = folderWith({ '.env': fixture('documented.env') })
    const cache = 'has no effect in this release: each process caches in its own memory instead'
    assert.deepEqual(folder.load().warnings, [
      `REDIS_HOST (.env) ${cache}`,
      `REDIS_PORT (.env) ${cache}`,
      `REDIS_ADDR (.env) ${cache}`,
    ])
  })

  it('warns about the keys of config.yaml in the same way', () => {
    using folder = folderWith({ 'config.yaml': fixture('documented.yaml') })
    assert.deepEqual(
      folder.load().warnings.map((warning) => warning.split(' has no effect')[0]),
      ['redis.host', 'redis.port'].map((key) => `${key} (config.yaml)`),
    )
  })

  it('takes both files at once, .env before config.yaml', () => {
    using folder = folderWith({
      '.env': 'DB_PASS=from-env\nPORT=9000\n',
      'config.yaml': fixture('documented.yaml'),
    })
    const { config } = folder.load()
    assert.equal(config.server.port, 9000)
    assert.deepEqual(config.database, {
      engine: 'postgres',
      connection: { ...connection, password: 'from-env' },
      poolSize: 10,
    })
  })
})
