import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { postgresUrl } from './postgres-url.ts'

const nothing = {
  host: undefined,
  port: undefined,
  user: undefined,
  password: undefined,
  database: undefined,
  sslMode: undefined,
  sslRootCert: undefined,
  hasOtherParameters: false,
}

describe('DATABASE_URL', () => {
  for (const [url, parts] of Object.entries({
    'postgres://u:p@db.example:5433/shop': {
      host: 'db.example',
      port: 5433,
      user: 'u',
      password: 'p',
      database: 'shop',
    },
    'postgresql://db/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem': {
      host: 'db',
      database: 'shop',
      sslMode: 'verify-full',
      sslRootCert: '/etc/ca.pem',
    },
    'postgres://u:p%40%2F%23%3F@[::1]/s%20t': {
      host: '::1',
      user: 'u',
      password: 'p@/#?',
      database: 's t',
    },
    'postgres:///shop?host=/var/run/postgresql': { host: '/var/run/postgresql', database: 'shop' },
    'postgres://u@%2Fvar%2Frun%2Fpostgresql/shop': {
      host: '/var/run/postgresql',
      user: 'u',
      database: 'shop',
    },
    'postgres://db/shop?schema=public': { host: 'db', database: 'shop', hasOtherParameters: true },
    'postgres://': {},
  })) {
    it(`${url} is taken apart`, () => {
      assert.deepEqual(postgresUrl.parse(url), { ...nothing, ...parts })
    })
  }

  for (const url of [
    'mysql://u:p@db/shop',
    'postgres',
    'u:p@db/shop',
    'postgres://u:12/34@db/shop', // read by the standard as host u, port 12
    'postgres://u:@12/34@db', // as host 12, database 34@db
    'postgres://u:?12@db/shop',
    'postgres://u:12#34@db/shop',
    'postgres://u:p/ss@db/shop',
    'postgres://u:%zz@db/shop',
    'postgres://u:%00@db/shop',
    'postgres://u:p@db:0/shop',
    'postgres://u:p@db:99999/shop',
    'postgres://u:p@db/shop/more',
    'postgres://u:p@db/shop?sslmode=maybe',
    'postgres://u:p@db/shop?host=a%20b',
    'postgres://u:p@d b/shop',
    'postgres://u:p@db/shop\n',
  ]) {
    it(`${JSON.stringify(url)} is refused`, () => {
      assert.equal(postgresUrl.parse(url), undefined)
    })
  }

  it('any user, password and database come back, percent-encoded', () => {
    const word = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => !s.includes('/'))
    fc.assert(
      fc.property(word, word, word, (user, password, database) => {
        fc.pre(![user, password, database].some((part) => part === '.' || part === '..'))
        const [u, p, d] = [user, password, database].map(encodeURIComponent)
        assert.deepEqual(postgresUrl.parse(`postgres://${u}:${p}@db:5432/${d}`), {
          ...nothing,
          ...{ host: 'db', port: 5432, user, password, database },
        })
      }),
    )
  })
})
