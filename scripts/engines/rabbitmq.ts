// A RabbitMQ of the caller's own, to be stopped, killed and started again: Debian's binaries in a folder
// and on ports that nobody else uses, with a port mapper (epmd) of its own, so that nothing is left over.

import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '../../src/app/free-port.ts'
import { run } from '../processes.ts'
import { type Engine, startEngine, startTied } from './engine.ts'

export interface RabbitmqServer extends Omit<Engine, 'signal'> {
  /** User `guest`, password `guest`. */
  readonly url: string
  readonly port: number
  /** Its own tool: `rabbitmqctl`, with these arguments. Returns what it prints. */
  ctl(...args: string[]): Promise<string>
}

const BINARIES = '/usr/lib/rabbitmq/bin'
/** 3 to 5 s on two idle cores. */
const START_TIMEOUT_MS = 90_000

export const isRabbitmqInstalled = existsSync(join(BINARIES, 'rabbitmq-server'))

export async function startRabbitmqServer({
  signal,
}: {
  signal?: AbortSignal
} = {}): Promise<RabbitmqServer> {
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-rabbitmq-'))
  starting.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const host = '127.0.0.1'
  const [port, mapperPort, clusterPort] = await Promise.all([
    findFreePort(host),
    findFreePort(host),
    findFreePort(host),
  ])
  const env = await settings({ folder, host, port, mapperPort, clusterPort })
  const options = { cwd: folder, env, ...(signal && { signal }) }
  starting.use(startTied('epmd', ['-address', host, '-port', String(mapperPort)], options))
  const engine = starting.use(
    await startEngine({
      name: 'RabbitMQ',
      command: join(BINARIES, 'rabbitmq-server'),
      args: [],
      options,
      greet: () => greet(host, port),
      startTimeoutMs: START_TIMEOUT_MS,
    }),
  )
  const everything = starting.move()
  return {
    url: `amqp://guest:guest@${host}:${port}`,
    port,
    stop: engine.stop,
    kill: engine.kill,
    start: engine.start,
    ctl: (...args) => run(join(BINARIES, 'rabbitmqctl'), ['--quiet', ...args], options),
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

interface Place {
  folder: string
  host: string
  port: number
  mapperPort: number
  clusterPort: number
}

async function settings({ folder, host, port, mapperPort, clusterPort }: Place) {
  const [config, plugins] = [join(folder, 'rabbitmq.conf'), join(folder, 'enabled_plugins')]
  await writeFile(config, 'log.console = true\nlog.console.level = warning\nlog.file = false\n')
  // To move dead letters back as operators do.
  await writeFile(plugins, '[rabbitmq_shovel].\n')
  return {
    HOME: folder,
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: host,
    RABBITMQ_NODENAME: 'vitrine@localhost',
    RABBITMQ_NODE_IP_ADDRESS: host,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(clusterPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONFIG_FILE: config,
    RABBITMQ_CONF_ENV_FILE: join(folder, 'no-such-file'),
    RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
  }
}

/** Resolves when somebody there speaks AMQP: the port is open some time before. */
function greet(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 1_000 })
    socket.on('connect', () => socket.write('AMQP\0\0\x09\x01'))
    socket.on('data', () => {
      socket.destroy()
      resolve()
    })
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => reject(new Error('RabbitMQ does not answer yet')))
  })
}
