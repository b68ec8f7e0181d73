// Starts that fail and stops that are urgent: nothing stays open, one line says why, and the exit code
// tells whose fault it was.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { sql } from 'kysely'
import { startRedisServer } from '../../scripts/engines/redis.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import type { Database } from '../../src/database/database.ts'
import { startComposed } from '../support/composed.ts'
import { describeOnEachDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, stall, startOrigin } from '../support/origin.ts'
import { connectRedis, describeWithRedisServer } from '../support/redis.ts'
import { childrenOf } from '../support/renderer.ts'
import {
  type Environment,
  makeDataFolder,
  postProduct,
  type Service,
  spawnService,
  startService,
} from '../support/service.ts'
import { vitrine } from '../support/vitrine.ts'

describe('a start that cannot succeed', () => {
  const stack = new AsyncDisposableStack()
  let taken: TakenPort
  before(async () => {
    taken = stack.use(await takePort())
  })
  after(() => stack.disposeAsync())

  const newFolder = async ({ empty = false } = {}) =>
    stack.use(await makeDataFolder({ empty })).path
  /** Its exit code, and what its one fatal line says. */
  const serve = async (env: Environment) => {
    const { code, stdout, stderr } = await vitrine(['serve'], {
      env,
      cwd: stack.use(await makeDataFolder()).path,
    })
    const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
    const fatal = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'fatal')
    return { code, stderr, reasons: fatal.map(({ msg }) => msg as string) }
  }
  const refusedFor = async (env: Environment, reason: RegExp) => {
    const { code, stderr, reasons } = await serve(env)
    assert.deepEqual([code, stderr], [1, ''])
    assert.equal(reasons.length, 1)
    assert.match(reasons[0]!, reason)
    assert.doesNotMatch(reasons[0]!, /\n/, 'one line')
  }

  test('for want of its port ends with 1 and names it', async () => {
    const DATA_DIR = await newFolder()
    const reason = new RegExp(`^cannot start: .*${taken.port} is taken .*set PORT`)
    await refusedFor({ DATA_DIR, PORT: String(taken.port) }, reason)
  })

  test('says why on standard error where the log is silent', async () => {
    const env = { DATA_DIR: await newFolder(), PORT: String(taken.port), LOG_LEVEL: 'silent' }
    const { code, stderr, reasons } = await serve(env)
    assert.deepEqual([code, reasons], [1, []])
    assert.match(stderr, new RegExp(`^cannot start: .*${taken.port} is taken .*\n$`))
  })

  test('for an address that is not its own ends with 1 and names HOST', async () => {
    for (const PORT of ['0', '8080']) {
      const env = { DATA_DIR: await newFolder(), HOST: '203.0.113.1', PORT }
      await refusedFor(env, /^cannot start: .*203\.0\.113\.1 .*set HOST/)
    }
  })

  test('for its data folder ends with 1 and names it', async () => {
    const [folder, noObjects] = [await newFolder(), await newFolder()]
    const damaged = await newFolder({ empty: true })
    const file = join(folder, 'file')
    await writeFile(file, '')
    await writeFile(join(noObjects, 'objects'), '')
    await mkdir(join(damaged, 'db'))
    await writeFile(join(damaged, 'db', 'PG_VERSION'), 'junk')
    const refused = (DATA_DIR: string, reason: RegExp) =>
      refusedFor({ DATA_DIR, PORT: '0' }, reason)
    await Promise.all([
      refused(file, new RegExp(`^cannot start: .*${file}`)),
      refused(noObjects, /^cannot start: .*storage folder .*objects/),
      refused(damaged, /^cannot start: the database in .*db /),
    ])
  })

  test('for a schema that nobody may migrate ends with 1 and says what to run', async () => {
    const DATA_DIR = await newFolder({ empty: true })
    const env = { DATA_DIR, PORT: '0', MIGRATE_ON_START: 'false' }
    await refusedFor(env, /^cannot start: .*0001_catalogue.*npm run migrate/)
  })

  test('for its database gives up in time with 1 and says what to check', async () => {
    const DATABASE_URL = `postgres://nobody@127.0.0.1:${await findFreePort('127.0.0.1')}/none`
    const env = { DATA_DIR: await newFolder(), PORT: '0', DATABASE_URL, START_TIMEOUT: '1s' }
    await refusedFor(env, /^cannot start: .*gave up after .*check/)
  })

  describeWithRedisServer('with a Redis of another password', () => {
    test('ends with 1 and says what to check, without a secret', async () => {
      await using redis = await startRedisServer()
      await using tools = await connectRedis(redis.url)
      await tools.configSet('requirepass', 'right')
      const CACHE_URL = `redis://:mistaken@127.0.0.1:${redis.port}`
      const reason =
        /^cannot start: Redis at .* refused: WRONGPASS .*check CACHE_URL and REDIS_PASSWORD$/
      await refusedFor({ DATA_DIR: await newFolder(), PORT: '0', CACHE_URL }, reason)
    })
  })

  test('for its settings ends with 2 and lists every mistake', async () => {
    const env = {
      PORT: '70000',
      LOG_LEVEL: 'loud',
      OUTBOUND_ALLOW: '10.0.0.0/99',
      JOB_LEASE: 'soon',
    }
    const { code, stderr, reasons } = await serve(env)
    assert.deepEqual([code, reasons], [2, []])
    for (const mistake of [
      /PORT.*70000/,
      /LOG_LEVEL.*loud/,
      /10\.0\.0\.0\/99/,
      /JOB_LEASE.*soon/,
    ]) {
      assert.match(stderr, mistake)
    }
  })
})

describe('a start that others are to reach', () => {
  const warningsOf = async (environment: Environment) => {
    await using folder = await makeDataFolder()
    await using service = await startService({ DATA_DIR: folder.path, ...environment })
    assert.equal(await service.stop(), 0)
    const lines = service.output().split('\n')
    const logged = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
    return logged.filter(({ msg }) => /PUBLIC_URL/.test(msg)).map(({ level }) => level)
  }

  test('without the address that they use warns that they will see no pictures', async () => {
    assert.deepEqual(await warningsOf({ HOST: '0.0.0.0' }), ['warn'])
    assert.deepEqual(await warningsOf({ HOST: '0.0.0.0', PUBLIC_URL: 'http://shop.example' }), [])
    assert.deepEqual(await warningsOf({ HOST: '127.0.0.1' }), [])
  })
})

describeOnEachDatabase('a start that fails half-way', (engine) => {
  test('closes what it opened: sessions, folders and picture children', async () => {
    await using stack = new AsyncDisposableStack()
    const taken = stack.use(await takePort())
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const environment: Environment = { DATA_DIR }
    const open = engine.name === 'postgres' ? stack.use(await engine.create()) : undefined
    if (open) environment.DATABASE_URL = open.url ?? ''
    const sessionsBefore = open && (await sessionsOf(open.database))
    await assert.rejects(startComposed({ ...environment, PORT: String(taken.port) }), /EADDRINUSE/)
    assert.deepEqual(await childrenOf(process.pid), [])
    if (open) {
      await eventually(async () =>
        assert.deepEqual(await sessionsOf(open.database), sessionsBefore),
      )
    }
    await using again = await startComposed(environment)
    await eventually(async () => assert.equal((await fetch(`${again.url}/readyz`)).status, 200))
  })
})

describe('a stop', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  before(async () => {
    origin = stack.use(await startOrigin({ '/stalls.jpg': stall() }))
  })
  after(() => stack.disposeAsync())

  /** With a picture under way that does not end. */
  const startBusy = async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const environment = { DATA_DIR, OUTBOUND_ALLOW: '127.0.0.1/32' }
    const service = stack.use(await startService(environment))
    const asked = origin.count('/stalls.jpg') + 1
    await postProduct(service, [`${origin.url}/stalls.jpg`])
    await origin.asked('/stalls.jpg', asked)
    return service
  }
  const stopping = (service: Service) =>
    eventually(() => assert.match(service.output(), /stopping: running work/))

  test('that is asked for again ends at once', async () => {
    const service = await startBusy()
    service.process.kill('SIGTERM')
    await stopping(service)
    const startedAt = performance.now()
    const ended = once(service.process, 'exit')
    // Two signals close together are one: Ctrl-C under npm comes twice.
    const again = setInterval(() => service.process.kill('SIGTERM'), 200)
    const [code] = await ended
    clearInterval(again)
    assert.equal(code, 1)
    assert.ok(performance.now() - startedAt < 10_000, 'not after the 25 s that a stop may take')
  })

  test('of a process whose output nobody reads ends it', async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const service = stack.use(await startService({ DATA_DIR }))
    service.process.stdout?.pause()
    // More than a pipe holds, in lines of the log.
    for (let round = 0; round < 20; round++) {
      const path = `/nothing/${'x'.repeat(1_000)}`
      const responses = Array.from({ length: 50 }, () => fetch(`${service.url}${path}`))
      for (const response of await Promise.all(responses)) await response.text()
    }
    assert.equal(await service.stop(), 0)
  })

  test('waits for no client that has stopped sending in mid-request, or has not begun', async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const service = stack.use(await startService({ DATA_DIR, SHUTDOWN_TIMEOUT: '1s' }))
    const head = 'POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    for (const begun of [`${head}Content-Length: 1000\r\n\r\n{"user_id"`, head, '']) {
      const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
      stack.defer(() => void socket.on('error', () => {}).destroy())
      await once(socket, 'connect')
      socket.write(begun)
    }
    // Answered after them: they have come.
    await fetch(`${service.url}/livez`)
    assert.equal(await service.stop(), 0)
  })

  test('while the start still waits for its database ends the wait', async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const DATABASE_URL = `postgres://nobody@127.0.0.1:${await findFreePort('127.0.0.1')}/none`
    const service = stack.use(await spawnService({ DATA_DIR, DATABASE_URL }))
    await eventually(() => assert.match(service.output(), /trying again/))
    assert.equal(await service.stop(), 0)
    assert.doesNotMatch(service.output(), /cannot start/)
  })

  test('that comes while the settings are read is not lost', async () => {
    // A pipe: whoever opens it at one end waits for who opens the other.
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const settings = join(DATA_DIR, '.env')
    execFileSync('mkfifo', [settings])
    const service = stack.use(await spawnService({ DATA_DIR }, { cwd: DATA_DIR }))
    await using writing = await open(settings, 'w')
    service.process.kill('SIGTERM')
    await writing.close()
    const [code, signal] = await once(service.process, 'exit')
    assert.deepEqual([code, signal], [0, null])
    assert.doesNotMatch(service.output(), /cannot start|Vitrine \(all\)/)
  })

  test('while the start waits for an S3 that has fallen silent ends it within seconds', async () => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const asked: string[] = []
    // It lets itself be listed and written, and says no more when it is asked for marks.
    const server = createHttpServer(({ url = '' }, response) => {
      asked.push(url)
      if (!url.includes('prefix=')) response.end('<ListBucketResult></ListBucketResult>')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    const service = stack.use(await spawnService({ DATA_DIR, ...s3At(portOf(server)) }))
    await eventually(() => assert.match(asked.join(), /prefix=/))
    const startedAt = performance.now()
    assert.equal(await service.stop(), 0)
    assert.ok(performance.now() - startedAt < 10_000)
    assert.match(service.output(), /stopped before it had started/)
  })

  const silent: Record<string, (port: number) => Environment> = {
    'a database': (port) => ({ DATABASE_URL: `postgres://app:pw@127.0.0.1:${port}/shop` }),
    'an S3': s3At,
    'a RabbitMQ': (port) => ({ RABBITMQ_URL: `amqp://127.0.0.1:${port}` }),
    'a Redis': (port) => ({ CACHE_URL: `redis://127.0.0.1:${port}` }),
  }
  for (const [name, settingsOf] of Object.entries(silent)) {
    test(`while the start waits for ${name} that says nothing ends it within seconds`, async () => {
      const { path: DATA_DIR } = stack.use(await makeDataFolder())
      await using engine = await startSilent()
      const env = { DATA_DIR, START_TIMEOUT: '60s', ...settingsOf(engine.port) }
      const service = stack.use(await spawnService(env))
      await eventually(() => assert.ok(engine.connections() > 0))
      const startedAt = performance.now()
      assert.equal(await service.stop(), 0)
      assert.ok(performance.now() - startedAt < 10_000)
      assert.doesNotMatch(service.output(), /cannot start/)
    })
  }
})

function s3At(port: number): Environment {
  return {
    S3_BUCKET_NAME: 'shop',
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
  }
}

interface SilentServer extends AsyncDisposable {
  port: number
  connections(): number
}

/** Takes connections, and says nothing. */
async function startSilent(): Promise<SilentServer> {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    connections: () => sockets.length,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function sessionsOf({ db }: Database): Promise<number[]> {
  const { rows } = await sql<{ pid: number }>`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' ORDER BY pid`.execute(db)
  return rows.map(({ pid }) => pid)
}

interface TakenPort extends AsyncDisposable {
  port: number
}

async function takePort(): Promise<TakenPort> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    [Symbol.asyncDispose]: async () => {
      server.close()
      await once(server, 'close')
    },
  }
}

function portOf(server: Server): number {
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}
