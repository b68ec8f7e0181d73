import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { LoadOptions } from '../../src/config/config.ts'
import { renderConfigurationDoc } from '../../src/config/documentation.ts'
import { environmentNames } from '../../src/config/names.ts'
import { settingGroups, settingNames } from '../../src/config/settings.ts'
import { type Folder, folderWith } from './folder.ts'

describe('effective settings', () => {
  const shown = (folder: Folder, options: LoadOptions = {}) =>
    new Map(
      folder
        .load({ processors: 2, ...options })
        .settings.map(({ name, value, source, key }) => [
          name,
          key === name ? `${value} from ${source}` : `${value} from ${source} as ${key}`,
        ]),
    )

  it('say for each setting what counts and where it comes from', () => {
    using folder = folderWith({
      '.env': 'LOG_LEVEL=warn\nDB_PASS=p\n',
      'config.yaml': 'database: { host: db }\nlog_level: error\n',
    })
    const settings = shown(folder, { env: { PORT: '81' }, overrides: { ROLE: 'api' } })
    assert.equal(settings.get('ROLE'), 'api from command line')
    assert.equal(settings.get('PORT'), '81 from environment')
    assert.equal(settings.get('LOG_LEVEL'), 'warn from .env')
    assert.equal(settings.get('DB_HOST'), 'db from config.yaml as database.host')
    assert.equal(settings.get('DB_PASSWORD'), '******** from .env as DB_PASS')
    assert.equal(settings.get('JOB_LEASE'), '20s from default')
  })

  it('include the defaults that depend on others', () => {
    using folder = folderWith()
    const embedded = shown(folder)
    assert.equal(embedded.get('HOST'), '127.0.0.1 from default')
    assert.equal(embedded.get('PUBLIC_URL'), 'http://localhost:8080 from default')
    assert.equal(embedded.get('WORKER_RENDER_PROCESSES'), '2 from default')
    assert.equal(embedded.get('DB_HOST'), 'undefined from default')
    const byParts = shown(folder, { env: { DB_NAME: 'shop', PORT: '0' } })
    assert.equal(byParts.get('HOST'), '0.0.0.0 from default')
    assert.equal(byParts.get('DB_HOST'), 'localhost from default')
    assert.equal(byParts.get('DB_PORT'), '5432 from default')
    assert.equal(byParts.get('PUBLIC_URL'), 'http://localhost:<port> from default')
    const byUrl = shown(folder, { env: { DATABASE_URL: 'postgres://db/shop' } })
    assert.equal(byUrl.get('DB_HOST'), 'undefined from default')
  })

  it('mask what is secret, in URLs too, and where it has no effect', () => {
    using folder = folderWith()
    const env = {
      DATABASE_URL: 'postgres://me:secret@db:5433/shop?schema=secret',
      AWS_SECRET_KEY: 'secret',
      KAFKA_SASL_PASSWORD: 'secret',
    }
    const settings = shown(folder, { env })
    assert.equal(
      settings.get('DATABASE_URL'),
      'postgres://me:********@db:5433/shop?******** from environment',
    )
    assert.equal(
      settings.get('AWS_SECRET_ACCESS_KEY'),
      '******** from environment as AWS_SECRET_KEY',
    )
    assert.equal(settings.get('KAFKA_SASL_PASSWORD'), '******** from environment')
  })
})

describe('documentation', () => {
  it('docs/configuration.md is what the settings table says; npm run docs renews it', () => {
    const file = new URL('../../docs/configuration.md', import.meta.url)
    assert.equal(readFileSync(file, 'utf8'), renderConfigurationDoc())
  })

  it('has every name of every setting, each setting in one group', () => {
    const document = renderConfigurationDoc()
    for (const name of environmentNames.keys()) assert.ok(document.includes(`\`${name}\``), name)
    assert.deepEqual(
      settingGroups.flatMap(({ names }) => names),
      settingNames,
    )
  })
})
