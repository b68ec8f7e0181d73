// deploy/compose.yaml and the settings it is used with: what would be found out on a machine with a container
// engine only, as far as it can be known without one.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, test } from 'node:test'
import { parseEnv } from 'node:util'
import { parse } from 'yaml'
import type { Config } from '../../src/config/config.ts'
import { environmentNames } from '../../src/config/names.ts'
import { load } from '../config/folder.ts'
import { type Image, readImage } from '../support/image.ts'

interface Service {
  image: string
  profiles?: string[]
  build?: object
  env_file?: string
  environment?: Record<string, unknown>
  user?: string
  privileged?: boolean
  read_only?: boolean
  cap_drop?: string[]
  cap_add?: string[]
  security_opt?: string[]
  stop_grace_period?: string
  tmpfs?: string[]
  volumes?: string[]
  networks?: string[]
  ports?: string[]
  healthcheck?: object
  restart?: string
  depends_on?: Record<string, { condition: string; required?: boolean }>
}

interface Compose {
  services: Record<string, Service>
  networks: Record<string, object>
  volumes: Record<string, object>
}

const page = (name: string) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8')

let text: string
let compose: Compose
let image: Image
/** deploy/example.env as a reader fills it in. */
let environment: Record<string, string>
before(async () => {
  text = await page('deploy/compose.yaml')
  compose = parse(text, { merge: true })
  image = await readImage()
  const given = Object.entries(parseEnv(await page('deploy/example.env')))
  const filled = Object.fromEntries(given.map(([name, value]) => [name, value || 'secret']))
  environment = Object.fromEntries(
    Object.entries(filled).map(([name, value]) => [
      name,
      value.replace(/\$\{(\w+)\}/g, (_, other: string) => filled[other] ?? ''),
    ]),
  )
})

const ours = () => Object.entries(compose.services).filter(([, { build }]) => build !== undefined)

/** What one of our processes is told there. */
function configOf({ environment: own = {} }: Service): {
  config: Config
  warnings: readonly string[]
} {
  const texts = Object.fromEntries(
    Object.entries(own).map(([name, value]) => [name, String(value)]),
  )
  return load({ ...image.environment, ...environment, ...texts })
}

test('every setting that is named exists, and none is refused or warned about', () => {
  const forCompose = /^(COMPOSE_PROFILES|RABBITMQ_PASSWORD)$/
  const named = [environment, ...ours().map(([, { environment: own = {} }]) => own)]
    .flatMap(Object.keys)
    .filter((name) => !forCompose.test(name))
  assert.deepEqual(
    named.filter((name) => !environmentNames.has(name)),
    [],
  )
  for (const [name, service] of ours()) assert.deepEqual(configOf(service).warnings, [], name)
})

test('the settings lead to the engines, by the names they have there', () => {
  for (const [, service] of ours()) {
    const { database, queue, sharedCache, storage } = configOf(service).config
    assert.ok(database.engine === 'postgres' && queue.kind === 'rabbitmq')
    assert.ok(sharedCache.kind === 'redis' && storage.kind === 's3')
    const { host } = new URL(storage.endpoint ?? '')
    const hosts = [database.connection.host, queue.server.host, sharedCache.server.host, host]
    assert.deepEqual(hosts, ['postgres', 'rabbitmq', 'redis', 's3:7070'])
    for (const engine of hosts) assert.ok(compose.services[engine.replace(/:.*/, '')], engine)
    assert.equal(storage.publicUrl, `http://localhost:7070/${storage.bucket}`)
  }
  const profile = environment.COMPOSE_PROFILES ?? ''
  assert.deepEqual(compose.services.rabbitmq?.profiles, [profile])
})

test('there are two APIs and two workers, and all of them leave migrations to one process', () => {
  const roles = ours().flatMap(([name, service]) => {
    const { role, migrateOnStart } = configOf(service).config
    return name === 'migrate' ? [] : [[role, migrateOnStart]]
  })
  assert.deepEqual(roles, [
    ['api', false],
    ['api', false],
    ['worker', false],
  ])
  assert.match(text, /deploy: \{ replicas: 2 \}/)
})

test('what runs our image is nobody, without capabilities, and can write to nothing but memory', () => {
  assert.equal(ours().length, 4)
  for (const [name, service] of ours()) {
    assert.equal(service.user, image.user, name)
    assert.equal(service.read_only, true, name)
    assert.deepEqual(service.cap_drop, ['ALL'], name)
    assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name)
    assert.deepEqual(
      [service.cap_add, service.privileged, service.volumes],
      [undefined, undefined, undefined],
    )
  }
  assert.equal(image.user, '65534:65534')
})

test('all pictures that a worker has in flight have room where it may write', () => {
  const worker = compose.services.worker
  assert.ok(worker)
  const [, size = ''] = /^\/data:.*\bsize=(\d+)g$/.exec(worker.tmpfs?.[0] ?? '') ?? []
  const { config } = configOf(worker)
  assert.equal(config.dataDir, '/data')
  assert.ok(Number(size) * 1024 ** 3 >= config.worker.concurrency * config.outbound.maxBytes)
})

test('a process has longer to stop than it takes', () => {
  for (const [name, service] of ours()) {
    const grace = Number(/^(\d+)s$/.exec(service.stop_grace_period ?? '')?.[1])
    const { shutdownTimeoutMs } = configOf(service).config
    // Giving back what is not finished takes up to 4 s, ending 1 s.
    assert.ok(grace * 1_000 >= shutdownTimeoutMs + 5_000, `${name}: ${grace} s`)
  }
})

test('what others make is pinned to a version, starts again, and says how it is', () => {
  for (const [name, service] of Object.entries(compose.services)) {
    if (service.build) continue
    assert.match(service.image, /^[\w./-]+:v?\d+(\.\d+)*$/, name)
    assert.equal(service.restart, 'unless-stopped', name)
    if (name !== 'entrance') assert.ok(service.healthcheck, name)
  }
})

test('names lead somewhere: of services, networks, volumes and variables', () => {
  const { services, networks, volumes } = compose
  for (const [name, service] of Object.entries(services)) {
    for (const network of service.networks ?? [])
      assert.ok(network in networks, `${name}: ${network}`)
    for (const [other, { required }] of Object.entries(service.depends_on ?? {})) {
      assert.ok(other in services, `${name}: ${other}`)
      // A service that is there with a profile only may be missing.
      if (services[other]?.profiles) assert.equal(required, false, `${name}: ${other}`)
    }
    for (const volume of service.volumes ?? [])
      if (!volume.startsWith('./')) assert.ok(volume.replace(/:.*/, '') in volumes, volume)
  }
  const used = [...text.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name)
  assert.deepEqual(
    used.filter((name) => !(name in environment)),
    [],
  )
})

test('what has to be filled in is asked for, and shown to nobody else', async () => {
  const given = parseEnv(await page('deploy/example.env'))
  const empty = Object.keys(given).filter((name) => given[name] === '')
  assert.ok(empty.length >= 4)
  for (const name of empty) assert.ok(text.includes(`\${${name}:?is empty in deploy/.env}`), name)
  assert.ok(ours().every(([, { env_file }]) => env_file === '.env'))
})

test('from outside this machine nothing can be reached, and from the engines nothing outside', () => {
  const { services, networks } = compose
  const published = Object.values(services).flatMap(({ ports = [] }) => ports)
  assert.deepEqual(published, ['127.0.0.1:8080:8080', '127.0.0.1:7070:7070'])
  assert.deepEqual(networks.engines, { internal: true })
  for (const name of ['postgres', 'redis', 'rabbitmq', 'kafka'])
    assert.deepEqual(services[name]?.networks, ['engines'], name)
})

test('Kafka takes the place of RabbitMQ as the comment says', () => {
  const { RABBITMQ_URL: _url, RABBITMQ_IMAGE_QUEUE: _queue, ...others } = environment
  const told = { COMPOSE_PROFILES: 'kafka', KAFKA_BROKERS: 'kafka:9092', ROLE: 'worker' }
  const { config, warnings } = load({ ...image.environment, ...others, ...told })
  assert.equal(config.queue.kind, 'kafka')
  assert.deepEqual(warnings, [])
  const { profiles, environment: own } = compose.services.kafka ?? {}
  assert.deepEqual(profiles, [told.COMPOSE_PROFILES])
  assert.equal(own?.KAFKA_ADVERTISED_LISTENERS, `PLAINTEXT://${told.KAFKA_BROKERS}`)
})

test('the load balancer asks every API for its health', async () => {
  const config = await page('deploy/haproxy.cfg')
  const servers = [...config.matchAll(/^ {2}server (\S+) (\S+):(\d+)$/gm)]
  const apis = ours().filter(([, service]) => configOf(service).config.role === 'api')
  assert.deepEqual(
    servers.map(([, name, host, port]) => [name, host, Number(port)]),
    apis.map(([name, service]) => [name, name, configOf(service).config.server.port]),
  )
  assert.match(config, /http-check send meth GET uri \/health /)
})

test('the README shows deploy/example.env as it is', async () => {
  const settings = (await page('deploy/example.env'))
    .replace(/^#.*\n/gm, '')
    .replace(/\n{2,}/g, '\n')
  const blocks = [...(await page('README.md')).matchAll(/^```dotenv\n([\s\S]*?)^```/gm)]
  assert.equal(
    blocks[0]?.[1]
      ?.replace(/^#.*\n/gm, '')
      .replace(/\n{2,}/g, '\n')
      .trim(),
    settings.trim(),
  )
})
