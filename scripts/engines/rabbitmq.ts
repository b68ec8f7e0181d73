// A RabbitMQ of the caller's own, to be stopped, killed and started again: Debian's binaries in a folder
// and on ports that nobody else uses, with a port mapper (epmd) of its own, so that nothing is left over.

import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '../../src/app/free-port.ts'
import { type Running, type RunOptions, run, start, until } from '../processes.ts'

export interface RabbitmqServer extends AsyncDisposable {
  /** User `guest`, password `guest`. */
  readonly url: string
  readonly port: number
  /** Politely, with everything on disk; resolves when it is gone. */
  stop(): Promise<void>
  /** As `kill -9` and power cuts do. */
  kill(): Promise<void>
  /** On what it has kept; resolves when clients may connect. */
  start(): Promise<void>
  /** Its own tool: `rabbitmqctl`, with these arguments. Returns what it prints. */
  ctl(...args: string[]): Promise<string>
}

const BINARIES = '/usr/lib/rabbitmq/bin'
/** 3 to 5 s on two idle cores. */
const START_TIMEOUT_MS = 90_000
const STOP_TIMEOUT_MS = 30_000

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

  const written: string[] = []
  let server: Running | undefined
  const launch = async () => {
    const launched = startTied(join(BINARIES, 'rabbitmq-server'), [], {
      ...options,
      onLine: (line) => written.push(line),
    })
    server = launched
    let hasEnded = false
    void launched.ended.then(() => {
      hasEnded = true
    })
    const isUp = () => (hasEnded ? undefined : greet(host, port))
    await until(isUp, { timeoutMs: START_TIMEOUT_MS, signal })
    if (hasEnded) throw new Error(`RabbitMQ did not start: ${written.join('\n')}`)
  }
  const kill = async () => {
    await server?.[Symbol.asyncDispose]()
    server = undefined
  }
  const stop = async () => {
    server?.terminate()
    const timer = setTimeout(() => void kill(), STOP_TIMEOUT_MS)
    await server?.ended
    clearTimeout(timer)
    await kill()
  }
  starting.defer(kill)
  await launch()
  const everything = starting.move()
  return {
    url: `amqp://guest:guest@${host}:${port}`,
    port,
    stop,
    kill,
    start: launch,
    ctl: (...args) => run(join(BINARIES, 'rabbitmqctl'), ['--quiet', ...args], options),
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

/** Ends with this process, even if that is killed. */
function startTied(command: string, args: readonly string[], options: RunOptions): Running {
  return start('setpriv', ['--pdeathsig', 'TERM', command, ...args], options)
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
