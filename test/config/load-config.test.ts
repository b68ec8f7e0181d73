import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { settingNames, settingOf } from '../../src/config/settings.ts'
import { folderWith } from './folder.ts'

describe('without any setting', () => {
  it('everything is embedded and has its default', () => {
    using folder = folderWith()
    const { config, warnings } = folder.load({ processors: 3 })
    const expected: Config = {
      role: 'all',
      dataDir: join(folder.path, 'data'),
      server: {
        host: '127.0.0.1',
        port: 8080,
        publicUrl: 'http://localhost:8080',
        corsOrigins: [],
      },
      log: { level: 'info', levels: {} },
      database: { engine: 'pglite', directory: join(folder.path, 'data/db') },
      migrateOnStart: true,
      startTimeoutMs: 30_000,
      shutdownTimeoutMs: 25_000,
      idempotencyKeepMs: 86_400_000,
      jobs: {
        maxAttempts: 8,
        timeoutMs: 120_000,
        leaseMs: 20_000,
        heartbeatMs: 5_000,
        ringAgainMs: 15_000,
        window: 1_000,
        maxAgeMs: 86_400_000,
        keepDoneMs: 604_800_000,
      },
      worker: { port: 8090, concurrency: 32, perHost: 4, renderProcesses: 3 },
      outbound: {
        allow: [],
        ports: [
          { from: 80, to: 80 },
          { from: 443, to: 443 },
          { from: 1024, to: 65_535 },
        ],
        connectTimeoutMs: 5_000,
        timeoutMs: 30_000,
        maxBytes: 26_214_400,
        maxRedirects: 3,
      },
      pictures: {
        maxPixels: 100_000_000,
        maxSide: 16_384,
        maxFrames: 500,
        maxDecodeBytes: 536_870_912,
        childMemoryBytes: 805_306_368,
        renderTimeoutMs: 30_000,
      },
      cache: { maxStaleMs: 30_000, maxBytes: 67_108_864 },
      events: { keepMs: 604_800_000, maxStreams: 10_000 },
      storage: { kind: 'filesystem', directory: join(folder.path, 'data/objects') },
      queue: { kind: 'postgres' },
      sharedCache: { kind: 'none' },
    }
    assert.deepEqual(config, expected)
    assert.deepEqual(warnings, [])
  })

  it('every default of the table is a value of its own type', () => {
    for (const name of settingNames) {
      const { default: value, type } = settingOf(name)
      if (value !== undefined) assert.notEqual(type.parse(value), undefined, name)
    }
  })

  it('nothing of the result can be changed', () => {
    using folder = folderWith()
    const { config } = folder.load({ env: { DATABASE_URL: 'postgres://db/x?sslmode=require' } })
    const check = (value: unknown) => {
      if (typeof value !== 'object' || value === null) return
      assert.ok(Object.isFrozen(value))
      Object.values(value).forEach(check)
    }
    check(config)
  })

  it('reads the environment and the folder of the process unless told otherwise', async () => {
    const { loadConfig } = await import('../../src/config/config.ts')
    process.env.JOB_WINDOW = '77'
    try {
      const { config } = loadConfig()
      assert.equal(config.jobs.window, 77)
      assert.equal(config.dataDir, join(process.cwd(), 'data'))
    } finally {
      delete process.env.JOB_WINDOW
    }
  })
})

describe('precedence', () => {
  const files = { '.env': 'PORT=3\n', 'config.yaml': 'port: 4\n' }

  it('command line beats environment beats .env beats config.yaml beats default', () => {
    using folder = folderWith(files)
    using yamlOnly = folderWith({ 'config.yaml': files['config.yaml'] })
    using empty = folderWith()
    const env = { PORT: '2' }
    const portOf = (loaded: { config: Config }) => loaded.config.server.port
    assert.equal(portOf(folder.load({ env, overrides: { PORT: '1' } })), 1)
    assert.equal(portOf(folder.load({ env, overrides: { PORT: undefined } })), 2)
    assert.equal(portOf(folder.load()), 3)
    assert.equal(portOf(yamlOnly.load()), 4)
    assert.equal(portOf(empty.load()), 8080)
  })

  it('an alias in a stronger source beats the name in a weaker one', () => {
    using folder = folderWith({ '.env': 'DB_HOST=h\nDB_PASSWORD=weak\n' })
    const { config } = folder.load({ env: { DB_PASS: 'strong' } })
    assert.equal(
      config.database.engine === 'postgres' && config.database.connection.password,
      'strong',
    )
  })

  it('an empty value means the default and hides weaker sources', () => {
    using folder = folderWith({ '.env': 'DATABASE_URL=postgres://db/x\nPORT=3\nHOST=" "\n' })
    const { config } = folder.load({ env: { DATABASE_URL: '', PORT: ' ' } })
    assert.equal(config.database.engine, 'pglite')
    assert.deepEqual(config.server.port, 8080)
    assert.deepEqual(config.server.host, '127.0.0.1')
  })

  it('names in config.yaml may be written in either case, values as lists and maps', () => {
    using folder = folderWith({
      'config.yaml': [
        'LOG_LEVEL: warn',
        'log_levels: { pipeline: debug, http: error }',
        'outbound_allow: [10.0.0.0/8, "fd00::/8"]',
        'outbound_ports:\n  - 80\n  - 8000-9000',
        'migrate_on_start: no',
        'job_lease: ~',
      ].join('\n'),
    })
    const { config } = folder.load()
    assert.deepEqual(config.log, { level: 'warn', levels: { pipeline: 'debug', http: 'error' } })
    assert.deepEqual(config.outbound.allow, ['10.0.0.0/8', 'fd00::/8'])
    assert.deepEqual(config.outbound.ports, [
      { from: 80, to: 80 },
      { from: 8000, to: 9000 },
    ])
    assert.equal(config.migrateOnStart, false)
    assert.equal(config.jobs.leaseMs, 20_000)
  })

  it('a password of digits in config.yaml stays what it is', () => {
    using folder = folderWith({ 'config.yaml': 'database: { password: 0123 }\n' })
    const { database } = folder.load().config
    assert.equal(database.engine === 'postgres' && database.connection.password, '0123')
  })

  it('spaces around a value are dropped, except in a password', () => {
    using folder = folderWith()
    const env = { PORT: ' 81 ', DB_NAME: ' shop ', DB_PASSWORD: ' p ' }
    const { config } = folder.load({ env })
    assert.equal(config.server.port, 81)
    assert.ok(config.database.engine === 'postgres')
    assert.equal(config.database.connection.database, 'shop')
    assert.equal(config.database.connection.password, ' p ')
  })

  it('a .env written on Windows is read', () => {
    using folder = folderWith({ '.env': '\uFEFFPORT=81\r\nexport LOG_LEVEL="WARN"\r\n' })
    const { config } = folder.load()
    assert.equal(config.server.port, 81)
    assert.equal(config.log.level, 'warn')
  })
})

describe('derived defaults', () => {
  it('a port of 0 leaves the public address to the one who listens', () => {
    using folder = folderWith()
    const publicUrlOf = (env: Record<string, string>) =>
      folder.load({ env }).config.server.publicUrl
    assert.equal(publicUrlOf({ PORT: '0' }), undefined)
    assert.equal(publicUrlOf({ PORT: '81' }), 'http://localhost:81')
    const PUBLIC_URL = 'https://shop.example/catalogue//'
    assert.equal(publicUrlOf({ PORT: '0', PUBLIC_URL }), 'https://shop.example/catalogue')
  })

  it('paths start from the working folder', () => {
    using folder = folderWith()
    const { config } = folder.load({ env: { DATA_DIR: '../shop' } })
    assert.equal(config.dataDir, join(folder.path, '../shop'))
    assert.deepEqual(config.storage, {
      kind: 'filesystem',
      directory: join(folder.path, '../shop/objects'),
    })
    assert.equal(
      folder.load({ env: { DATA_DIR: '/var/lib/shop' } }).config.dataDir,
      '/var/lib/shop',
    )
  })
})

describe('mistakes', () => {
  it('are told all at once, each with its setting, its source and what would be right', () => {
    using folder = folderWith({
      '.env': 'JOB_LEASE=20\n',
      'config.yaml': 'server:\n  port: 80a\noutbound_max_size: 25MB\n',
    })
    const error = folder.refused({ env: { LOG_LEVEL: 'loud' }, overrides: { ROLE: 'boss' } })
    assert.deepEqual(error.mistakes, [
      'ROLE (command line) is "boss" but must be one of api, worker, all',
      'server.port (config.yaml) is "80a" but must be a whole number from 0 to 65535',
      'LOG_LEVEL (environment) is "loud" but must be one of trace, debug, info, warn, error, fatal, silent',
      'JOB_LEASE (.env) is "20" but must be a duration from 1s to 24d, written as 500ms, 30s, 5m, 1h or 7d',
      'outbound_max_size (config.yaml) is "25MB" but must be a size from 1KiB to 1GiB, written as 512B, 64KiB, 25MiB or 1GiB',
    ])
    for (const mistake of error.mistakes) assert.ok(error.message.includes(mistake))
  })

  it('a value at fault in a source that does not count is none', () => {
    using folder = folderWith({ '.env': 'PORT=80a\n' })
    assert.equal(folder.load({ env: { PORT: '81' } }).config.server.port, 81)
  })

  it('two names of one setting that differ in one source are named both', () => {
    using folder = folderWith({
      '.env': 'DB_HOST=h\nDB_PASSWORD=one\nDB_PASS=two\n',
      'config.yaml': 'port: 1\nserver: { port: 2 }\n',
    })
    assert.deepEqual(folder.refused().mistakes, [
      'port and server.port (config.yaml) are the same setting and differ: keep one of them',
      'DB_PASSWORD and DB_PASS (.env) are the same setting and differ: keep one of them',
    ])
  })

  it('two names of one setting that agree are fine, and so is an empty one beside a full one', () => {
    using folder = folderWith({ '.env': 'DB_PASSWORD=one\nDB_PASS=one\n' })
    folder.load()
    using other = folderWith({ '.env': 'DB_PASSWORD=\nDB_PASS=one\n' })
    const { database } = other.load().config
    assert.equal(database.engine === 'postgres' && database.connection.password, 'one')
  })

  it('settings that do not go together are named with what they are', () => {
    using folder = folderWith()
    const env = {
      JOB_HEARTBEAT: '11s',
      JOB_TIMEOUT: '59s',
      OUTBOUND_CONNECT_TIMEOUT: '31s',
      PICTURE_CHILD_MEMORY: '512MiB',
    }
    assert.deepEqual(folder.refused({ env }).mistakes, [
      'JOB_HEARTBEAT (environment) is 11s, JOB_LEASE (default) is 20s: the heartbeat must be at most half of the lease, or one that comes late loses the job',
      'JOB_TIMEOUT (environment) is 59s, OUTBOUND_TIMEOUT (default) is 30s, PICTURE_RENDER_TIMEOUT (default) is 30s: an attempt must have time for its download and its rendering',
      'OUTBOUND_CONNECT_TIMEOUT (environment) is 31s, OUTBOUND_TIMEOUT (default) is 30s: connecting is a part of the download and must not be given more time',
      'PICTURE_CHILD_MEMORY (environment) is 512MiB, PICTURE_DECODE_MEMORY (default) is 512MiB: a child needs 64MiB more than decoding does, or pictures that were let in would kill it',
    ])
    const [tooOld] = folder.refused({ env: { JOB_MAX_AGE: '1m' } }).mistakes
    assert.match(tooOld ?? '', /^JOB_MAX_AGE .* a job must be allowed to live for one attempt$/)
  })

  it('settings that just go together are accepted', () => {
    using folder = folderWith()
    folder.load({
      env: {
        JOB_HEARTBEAT: '10s',
        JOB_TIMEOUT: '60s',
        JOB_MAX_AGE: '60s',
        OUTBOUND_CONNECT_TIMEOUT: '30s',
        PICTURE_CHILD_MEMORY: '576MiB',
      },
    })
  })

  it('a setting that is wrong by itself breaks no rule on top', () => {
    using folder = folderWith()
    assert.equal(
      folder.refused({ env: { JOB_HEARTBEAT: '1d', JOB_LEASE: 'x' } }).mistakes.length,
      1,
    )
  })

  it('the embedded database serves the role all only', () => {
    using folder = folderWith()
    for (const role of ['api', 'worker']) {
      assert.deepEqual(folder.refused({ overrides: { ROLE: role } }).mistakes, [
        `ROLE (command line) is ${role}: it needs PostgreSQL, set by DATABASE_URL or DB_HOST: the embedded database serves one process, with the role all`,
      ])
      const { config } = folder.load({ env: { ROLE: role, DATABASE_URL: 'postgres://db/x' } })
      assert.equal(config.role, role)
    }
    const wrongUrl = folder.refused({ env: { ROLE: 'api', DATABASE_URL: 'mysql://db/x' } })
    assert.equal(wrongUrl.mistakes.length, 1)
  })

  it('files that cannot be read are mistakes', () => {
    using folder = folderWith({ 'config.yaml': 'port: 1\nport: 2\n' })
    mkdirSync(join(folder.path, '.env'))
    assert.deepEqual(folder.refused().mistakes, [
      '.env cannot be read: EISDIR',
      'config.yaml, line 2, column 1, is not valid YAML: duplicate key',
    ])
  })

  for (const [text, mistake] of [
    ['just text', 'config.yaml must be a map of settings and their values'],
    ['server: 8080', 'server (config.yaml) must be a map'],
    ['port: [80, 81]', 'port (config.yaml) must be a single value'],
    [
      'outbound_ports: { a: 1 }',
      'outbound_ports (config.yaml) must be a single value or a list of values',
    ],
    [
      'db_password: *star',
      'db_password (config.yaml) must be in quotes, because it begins with * or &',
    ],
    [
      'db_password: &and',
      'db_password (config.yaml) must be in quotes, because it begins with * or &',
    ],
    ['db_password: !bang', 'config.yaml, line 1, column 14, is not valid YAML: tag resolve failed'],
  ] as const) {
    it(`config.yaml with ${text} is refused`, () => {
      using folder = folderWith({ 'config.yaml': `${text}\n` })
      assert.deepEqual(folder.refused().mistakes, [mistake])
    })
  }
})

describe('keys that are no settings', () => {
  it('in .env and config.yaml are warned about, with the name that was meant', () => {
    using folder = folderWith({
      '.env': 'PROT=1\nDB_HSOT=h\nRABITMQ_URL=x\nNODE_ENV=production\n',
      'config.yaml': 'databse: { host: h }\nserver: { prot: 1 }\njob_leese: 1s\nwidgets: 3\n',
    })
    const { config, warnings } = folder.load()
    assert.equal(config.database.engine, 'pglite')
    assert.deepEqual(warnings, [
      'DB_HSOT (.env) is not a setting; did you mean DB_HOST?',
      'NODE_ENV (.env) is not a setting',
      'PROT (.env) is not a setting; did you mean PORT?',
      'RABITMQ_URL (.env) is not a setting; did you mean RABBITMQ_URL?',
      'databse (config.yaml) is not a setting; did you mean database?',
      'server.prot (config.yaml) is not a setting; did you mean server.port?',
      'job_leese (config.yaml) is not a setting; did you mean job_lease?',
      'widgets (config.yaml) is not a setting',
    ])
  })

  it('in config.yaml are named in any case, as far as they are no part of a secret', () => {
    using folder = folderWith({
      'config.yaml': [
        'Database: { hots: x, widgets: x, zQ7xw9Vk3: x }',
        'Databse: { host: h }',
        'zQ7xw9Vk3: x',
        '"\\edatabase": x',
        'zQ7xw9Vk3.host: x',
      ].join('\n'),
    })
    const hidden = 'config.yaml has an entry whose name is not that of a setting'
    assert.deepEqual(folder.load().warnings, [
      'Database.hots (config.yaml) is not a setting; did you mean database.host?',
      'Database.widgets (config.yaml) is not a setting',
      hidden,
      'Databse (config.yaml) is not a setting; did you mean database?',
      hidden,
      hidden,
      hidden,
    ])
  })

  it('in the environment are nobody’s business', () => {
    using folder = folderWith()
    assert.deepEqual(folder.load({ env: { PROT: '1' } }).warnings, [])
  })

  it('are told together with the mistakes', () => {
    using folder = folderWith({ '.env': 'PORT=x\nHOSTT=y\n' })
    assert.deepEqual(folder.refused().warnings, [
      'HOSTT (.env) is not a setting; did you mean HOST?',
    ])
  })
})
