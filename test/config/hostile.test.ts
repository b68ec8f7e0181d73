// Whatever the sources hold, loading either succeeds or throws a ConfigError, and no text that comes
// out of it, error, warning or printed setting, contains a part of a secret.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { renderSettingsJson, renderSettingsTable } from '../../src/cli/config-command.ts'
import { loadConfig } from '../../src/config/config.ts'
import { ConfigError } from '../../src/config/config-error.ts'
import { environmentNames, yamlKeys } from '../../src/config/names.ts'
import { type Folder, folderWith } from './folder.ts'

const RUNS = 300

const tempting = fc.constantFrom(
  ...[
    '',
    ' ',
    '0',
    '-1',
    '1e400',
    'NaN',
    'null',
    '~',
    'true',
    '__proto__',
    '*a',
    '&a',
    '!a',
    '%00',
  ],
  ...[
    '30s',
    '25MiB',
    '10.0.0.0/8',
    '80-70',
    'a=debug',
    'postgres://',
    'postgres://%zz@h',
    'http://[',
  ],
  ...['\0', '\ud800', '$x', '9'.repeat(400), '-----BEGIN\nx\n', '{', '[[', ': ', '?', 'redis://x'],
)
const value = fc.oneof(tempting, fc.string(), fc.string({ unit: 'binary' }))
const name = fc.constantFrom(...environmentNames.keys(), '__proto__', 'constructor', 'PROT', '')
const variables = fc.dictionary(name, value)
const yamlKey = fc.constantFrom(...yamlKeys.keys(), 'database', 'server', '<<', '? x')
const yamlLine = fc
  .tuple(yamlKey, value, fc.constantFrom('', '  ', '- '))
  .map(([key, text, indent]) => `${indent}${key}: ${text}`)
const file = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(yamlLine).map((lines) => lines.join('\n')),
  variables.map((all) =>
    Object.entries(all)
      .map(([key, text]) => `${key}=${text}`)
      .join('\n'),
  ),
)

/** Everything that loading these sources has to say to anybody. */
function textsOf(folder: Folder, env: Record<string, string>, overrides = {}): string {
  try {
    const { warnings, settings } = loadConfig({ env, overrides, cwd: folder.path })
    const printed = [renderSettingsTable(settings), renderSettingsJson(settings)]
    return [...warnings, ...printed].join('\n')
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return [error.message, ...error.mistakes, ...error.warnings, String(error.stack)].join('\n')
  }
}

describe('hostile settings', () => {
  it('end in a configuration or in a ConfigError, nothing else', () => {
    using folder = folderWith()
    fc.assert(
      fc.property(variables, variables, file, file, (env, overrides, dotenv, yaml) => {
        writeFileSync(join(folder.path, '.env'), dotenv)
        writeFileSync(join(folder.path, 'config.yaml'), yaml)
        textsOf(folder, env, overrides)
      }),
      { numRuns: RUNS },
    )
  })

  it('a deeply nested config.yaml ends in a ConfigError', () => {
    using folder = folderWith({ 'config.yaml': `port: ${'['.repeat(100_000)}` })
    folder.refused()
  })
})

describe('secrets', () => {
  const SECRET = 'Zq7Xw9Vk3Rt'
  const around = fc.constantFrom(
    '',
    '/',
    '#',
    '?',
    '@',
    ':',
    '%',
    '%zz',
    '\u0001',
    '[',
    ' ',
    '&',
    '=',
    '\\',
    "'",
  )
  const password = fc
    .tuple(around, around, around)
    .map(([before, inside, after]) => `${before}${SECRET}${inside}${SECRET}${after}`)
  const secretUrl = fc
    .tuple(
      fc.constantFrom('postgres', 'amqp', 'kafka', 'redis', 'https', 's3', 'x'),
      password,
      value,
    )
    .map(([scheme, secret, rest]) => `${scheme}://user:${secret}@host${rest}`)
  const secretParameter = password.map((secret) => `postgres://host/db?password=${secret}`)
  const secretPath = password.map((secret) => `mysql:${secret}`)
  const anyUrl = fc.oneof(secretUrl, secretParameter, secretPath)
  const wrong = fc.oneof(secretUrl, secretParameter)
  const wrongPlace = fc.record(
    {
      ...{ HOST: wrong, DB_HOST: wrong, LOG_LEVEL: wrong, OUTBOUND_ALLOW: wrong, PORT: wrong },
      ...{ AWS_REGION: wrong, S3_BUCKET_NAME: wrong, S3_URLS: wrong },
      ...{ REDIS_ADDR: wrong, REDIS_HOST: wrong, KAFKA_BROKERS: wrong },
    },
    { requiredKeys: [] },
  )
  const accepted = fc.record(
    {
      ...{ DB_PASS: password, REDIS_PASSWORD: password, AWS_ACCESS_KEY: password },
      ...{ AWS_SECRET_KEY: password, RABBITMQ_URL: anyUrl },
      ...{ KAFKA_SASL_PASSWORD: password },
    },
    { requiredKeys: [] },
  )
  const judged = fc.record(
    {
      ...{ DATABASE_URL: anyUrl, PUBLIC_URL: anyUrl, DB_PASSWORD: password, DB_PASS: password },
      ...{ QUEUE_URL: anyUrl, CACHE_URL: anyUrl, STORAGE_URL: anyUrl },
      ...{ S3_ENDPOINT: anyUrl, S3_PUBLIC_URL: anyUrl, AWS_SESSION_TOKEN: password },
    },
    { requiredKeys: [] },
  )
  const databaseUrl = fc.record({ DATABASE_URL: anyUrl })
  const secrets = fc.oneof(accepted, judged, databaseUrl, wrongPlace)

  const stays = (check: (folder: Folder, given: Record<string, string>) => string) => {
    using folder = folderWith()
    fc.assert(
      fc.property(secrets, (given) => assert.ok(!check(folder, given).includes(SECRET))),
      { numRuns: RUNS },
    )
  }

  it('given in the environment stay unsaid', () => {
    stays((folder, given) => textsOf(folder, given))
    stays((folder, given) => textsOf(folder, { ...given, PORT: 'x' }))
  })

  it('given in .env stay unsaid, torn over several lines too', () => {
    stays((folder, given) => {
      const lines = Object.entries(given).map(([key, text]) => `${key}=-----BEGIN\n${text}==\n`)
      writeFileSync(join(folder.path, '.env'), lines.join('\n'))
      return textsOf(folder, {})
    })
  })

  it('given in config.yaml stay unsaid, whatever YAML makes of them', () => {
    stays((folder, given) => {
      const lines = Object.entries(given).map(([key, text]) => `${key.toLowerCase()}: ${text}`)
      writeFileSync(join(folder.path, 'config.yaml'), lines.join('\n'))
      return textsOf(folder, {})
    })
  })
})
