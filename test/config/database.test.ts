import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { LoadOptions } from '../../src/config/config.ts'
import { openDatabase } from '../../src/database/open.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { type Folder, folderWith, PEM } from './folder.ts'

/** How PostgreSQL is reached with this environment. */
function connectionOf(folder: Folder, env: NonNullable<LoadOptions['env']>) {
  const { database } = folder.load({ env }).config
  assert.ok(database.engine === 'postgres')
  return database.connection
}

describe('the choice of a database', () => {
  const defaults = {
    host: 'localhost',
    port: 5432,
    user: 'postgres',
    database: 'vitrine',
    ssl: false,
  }

  it('any part of an address means PostgreSQL, with defaults for the others', () => {
    using folder = folderWith()
    assert.deepEqual(connectionOf(folder, { DB_NAME: 'shop' }), { ...defaults, database: 'shop' })
    assert.deepEqual(connectionOf(folder, { DB_PORT: '5433' }), { ...defaults, port: 5433 })
    assert.deepEqual(connectionOf(folder, { DATABASE_URL: 'postgres://db' }), {
      ...defaults,
      host: 'db',
    })
  })

  it('TLS mode and pool size alone do not', () => {
    using folder = folderWith()
    const { config } = folder.load({ env: { DB_SSLMODE: 'require', DB_POOL_SIZE: '5' } })
    assert.equal(config.database.engine, 'pglite')
  })

  it('the pool has the size that is asked for', () => {
    using folder = folderWith()
    const { database } = folder.load({ env: { DB_HOST: 'db', DB_POOL_SIZE: '5' } }).config
    assert.equal(database.engine === 'postgres' && database.poolSize, 5)
  })

  it('of URL and parts the one from the stronger source counts, with a word about the other', () => {
    using parts = folderWith({ '.env': 'DB_HOST=weak\nDB_NAME=weak\n' })
    const byUrl = parts.load({ env: { DATABASE_URL: 'postgres://strong/shop' } })
    assert.equal(connectionOf(parts, { DATABASE_URL: 'postgres://strong/shop' }).host, 'strong')
    assert.deepEqual(byUrl.warnings, [
      'DB_HOST (.env) has no effect: DATABASE_URL (environment) says where the database is',
    ])
    using url = folderWith({ '.env': 'DATABASE_URL=postgres://weak/shop\n' })
    assert.deepEqual(connectionOf(url, { DB_PASS: 'p' }), { ...defaults, password: 'p' })
    assert.deepEqual(url.load({ env: { DB_PASS: 'p' } }).warnings, [
      'DATABASE_URL (.env) has no effect: DB_PASS (environment) says where the database is',
    ])
  })

  it('the strongest of the parts speaks for all of them', () => {
    using folder = folderWith({
      '.env': 'DATABASE_URL=postgres://url/shop\n',
      'config.yaml': 'database: { host: parts }\n',
    })
    assert.equal(connectionOf(folder, { DB_PASS: 'p' }).host, 'parts')
    assert.equal(connectionOf(folder, {}).host, 'url')
  })

  it('URL and parts may say the same, unless a weaker URL says more', () => {
    using folder = folderWith()
    const url = 'postgres://app:pw@db/shop'
    const parts = { DB_HOST: 'db', DB_USER: 'app', DB_PASSWORD: 'pw', DB_NAME: 'shop' }
    assert.deepEqual(folder.load({ env: { DATABASE_URL: url, ...parts } }).warnings, [])
    writeFileSync(join(folder.path, '.env'), `DATABASE_URL=${url}?sslmode=verify-full\n`)
    assert.deepEqual(folder.load({ env: parts }).warnings, [
      'DATABASE_URL (.env) has no effect: DB_HOST (environment) says where the database is',
    ])
  })

  it('URL and parts in one source are refused if they differ', () => {
    using folder = folderWith()
    const env = { DATABASE_URL: 'postgres://db/shop', DB_NAME: 'shop' }
    assert.deepEqual(folder.refused({ env }).mistakes, [
      'DATABASE_URL (environment) and DB_NAME (environment) both say where the database is, and differ: keep one of them',
    ])
  })

  it('parameters of the URL that have no effect are told', () => {
    using folder = folderWith()
    const { warnings } = folder.load({ env: { DATABASE_URL: 'postgres://db/shop?schema=x' } })
    assert.deepEqual(warnings, [
      'DATABASE_URL has parameters without effect: only host, sslmode and sslrootcert are used',
    ])
  })
})

describe('TLS towards PostgreSQL', () => {
  it('follows the mode, in DB_SSLMODE and in the URL alike', () => {
    using folder = folderWith()
    writeFileSync(join(folder.path, 'ca.pem'), PEM)
    const cases: [string, string | undefined, object | false][] = [
      ['disable', undefined, false],
      ['prefer', undefined, { rejectUnauthorized: false }],
      ['require', undefined, { rejectUnauthorized: false }],
      ['verify-full', undefined, { rejectUnauthorized: true }],
      ['verify-full', 'ca.pem', { rejectUnauthorized: true, ca: PEM }],
    ]
    for (const [mode, file, tls] of cases) {
      const parts = { DB_HOST: 'db', DB_SSLMODE: mode, DB_SSLROOTCERT: file }
      assert.deepEqual(connectionOf(folder, parts).ssl, tls)
      const url = `postgres://db/?sslmode=${mode}${file ? `&sslrootcert=${file}` : ''}`
      assert.deepEqual(connectionOf(folder, { DATABASE_URL: url }).ssl, tls)
    }
  })

  it('verify-ca, and require with an authority, check the certificate and not the name', () => {
    using folder = folderWith()
    writeFileSync(join(folder.path, 'ca.pem'), PEM)
    for (const DB_SSLMODE of ['verify-ca', 'require']) {
      const { ssl } = connectionOf(folder, { DB_HOST: 'h', DB_SSLMODE, DB_SSLROOTCERT: 'ca.pem' })
      assert.ok(ssl)
      assert.equal(ssl.rejectUnauthorized, true)
      assert.equal(ssl.ca, PEM)
      assert.equal(ssl.checkServerIdentity?.(), undefined)
      assert.ok(ssl.checkServerIdentity)
    }
  })

  it('does not exist on a Unix socket', () => {
    using folder = folderWith()
    assert.equal(connectionOf(folder, { DB_HOST: '/run/pg', DB_SSLMODE: 'require' }).ssl, false)
  })

  it('says what prefer comes to, and that a certificate is not used', () => {
    using folder = folderWith()
    assert.deepEqual(folder.load({ env: { DB_HOST: 'h', DB_SSLMODE: 'prefer' } }).warnings, [
      'sslmode prefer means require here; for a database without TLS set DB_SSLMODE=disable',
    ])
    assert.deepEqual(folder.load({ env: { DB_HOST: 'h', DB_SSLROOTCERT: 'ca.pem' } }).warnings, [
      'DB_SSLROOTCERT has no effect, because DB_SSLMODE is disable',
    ])
  })

  it('refuses an authority that cannot be read, is none, or is missing', () => {
    using folder = folderWith({ 'no.pem': 'no' })
    const mistakeOf = (DB_SSLMODE: string, DB_SSLROOTCERT?: string) =>
      folder.refused({ env: { DB_HOST: 'h', DB_SSLMODE, DB_SSLROOTCERT } }).mistakes
    assert.deepEqual(mistakeOf('verify-full', 'gone.pem'), [
      'DB_SSLROOTCERT must name a file of PEM certificates: ENOENT',
    ])
    assert.deepEqual(mistakeOf('verify-full', 'no.pem'), [
      'DB_SSLROOTCERT must name a file of PEM certificates: it holds none',
    ])
    assert.match(
      mistakeOf('verify-ca')[0] ?? '',
      /^DB_SSLROOTCERT must name a file for sslmode verify-ca/,
    )
  })

  it('of two modes the one from the stronger source counts, and in one source they must agree', () => {
    using folder = folderWith({ '.env': 'DB_SSLMODE=verify-full\n' })
    const DATABASE_URL = 'postgres://db/?sslmode=require'
    assert.deepEqual(connectionOf(folder, { DATABASE_URL }).ssl, { rejectUnauthorized: false })
    using weakUrl = folderWith({ '.env': `DATABASE_URL=${DATABASE_URL}\n` })
    assert.equal(connectionOf(weakUrl, { DB_SSLMODE: 'disable' }).ssl, false)
    assert.deepEqual(folder.refused({ env: { DATABASE_URL, DB_SSLMODE: 'disable' } }).mistakes, [
      'DB_SSLMODE (environment) and sslmode in DATABASE_URL differ: keep one of them',
    ])
    folder.load({ env: { DATABASE_URL, DB_SSLMODE: 'require' } })
  })
})

describeOnPostgres('a real database', () => {
  it('is reached by its URL and by its parts', async () => {
    await using test = await postgresEngine.create()
    assert.ok(test.url)
    const { hostname, port, username, password, pathname } = new URL(test.url)
    const parts = {
      DB_HOST: hostname,
      DB_PORT: port || undefined,
      DB_USER: username,
      DB_PASSWORD: password,
      DB_NAME: pathname.slice(1),
    }
    using folder = folderWith()
    for (const env of [{ DATABASE_URL: test.url }, parts]) {
      await using database = await openDatabase(folder.load({ env }).config.database)
      await database.ping()
    }
  })
})
