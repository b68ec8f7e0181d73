import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EffectiveSetting } from '../config/effective-settings.ts'
import { environmentNames, yamlKeys } from '../config/names.ts'
import { renderSettingsJson, renderSettingsTable } from './config-command.ts'

const setting = (fields: Partial<EffectiveSetting>): EffectiveSetting => ({
  name: 'PORT',
  value: '8080',
  source: 'default',
  key: fields.name ?? 'PORT',
  ...fields,
})

const settings = [
  setting({ name: 'JOB_LEASE', value: '20s', source: 'config.yaml', key: 'job_lease' }),
  setting({ name: 'ROLE', value: 'worker', source: 'command line' }),
  setting({ source: 'config.yaml', key: 'server.port' }),
  setting({ name: 'LOG_LEVELS', value: undefined }),
  setting({ name: 'DB_PASSWORD', value: '********', source: '.env', key: 'DB_PASS' }),
  setting({ name: 'OUTBOUND_ALLOW', value: '10.0.0.0/8,'.repeat(8), source: 'environment' }),
]

const widthOf = (table: string) => Math.max(...table.split('\n').map((line) => line.length))

describe('vitrine config', () => {
  it('prints a table in groups, each value with its origin', () => {
    const lines = renderSettingsTable(settings).split('\n')
    for (const [name, value, origin] of [
      ['ROLE', 'worker', 'command line'],
      ['PORT', '8080', 'config.yaml: server.port'],
      ['LOG_LEVELS', '-', 'default'],
      ['DB_PASSWORD', '\\*{8}', '.env: DB_PASS'],
      ['JOB_LEASE', '20s', 'config.yaml'],
    ]) {
      const row = lines.find((line) => line.startsWith(`  ${name} `))
      assert.match(row ?? '', new RegExp(`^  ${name} +${value} +${origin}$`))
    }
    assert.ok(lines.indexOf('Service') < lines.indexOf('Database'))
  })

  it('goes on below with a value that is too long, and stays within 100 columns', () => {
    const table = renderSettingsTable(settings)
    assert.ok(widthOf(table) <= 100)
    const start = table.indexOf('OUTBOUND_ALLOW')
    const printed = table.slice(start, table.indexOf('\n\n', start)).replace(/environment|\s/g, '')
    assert.equal(printed, `OUTBOUND_ALLOW${'10.0.0.0/8,'.repeat(8)}`)
  })

  it('stays within 100 columns for every name that a source may use', () => {
    const value = 'x'.repeat(100)
    const keys = [
      ...[...environmentNames].map(([key, name]) => ({ key, name, source: 'command line' })),
      ...[...yamlKeys].map(([key, name]) => ({ key, name, source: 'config.yaml' })),
    ]
    for (const { key, name, source } of keys) {
      const width = widthOf(renderSettingsTable([setting({ key, name, source, value })]))
      assert.ok(width > 60 && width <= 100, `${key}: ${width}`)
    }
  })

  it('prints JSON for programs', () => {
    const printed = JSON.parse(renderSettingsJson(settings))
    assert.deepEqual(printed.PORT, {
      value: '8080',
      source: 'config.yaml',
      key: 'server.port',
    })
    assert.equal(printed.LOG_LEVELS.value, null)
  })
})
