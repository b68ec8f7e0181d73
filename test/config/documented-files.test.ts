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

const redis = {
  kind: 'redis',
  server: { host: 'localhost', port: 6379, database: 0, tls: false },
  prefix: 'vitrine:',
}

describe('documented files', () => {
  for (const name of ['documented.env', 'other-spelling.env']) {
    it(`${name} works as it is`, () => {
      using folder = folderWith({ '.env': fixture(name) })
      const { config } = folder.load()
      assert.deepEqual(config.database, { engine: 'postgres', connection, poolSize: 10 })
      assert.equal(config.server.host, '0.0.0.0')
      assert.deepEqual(config.queue.kind === 'rabbitmq' && config.queue.server, rabbitmq)
      assert.deepEqual(config.sharedCache, redis)
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

  for (const [file, name] of [
    ['.env', 'documented.env'],
    ['.env', 'other-spelling.env'],
    ['config.yaml', 'documented.yaml'],
  ] as const) {
    it(`nothing in ${name} is warned about`, () => {
      using folder = folderWith({ [file]: fixture(name) })
      assert.deepEqual(folder.load().warnings, [])
    })
  }

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
