// A Redis of the caller's own, to be stopped, killed, paused and started again: Debian's binary on a port
// that nobody else uses, with its copy on disk, when it is asked for one, in a folder of its own.

import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePort } from '../../src/app/free-port.ts'
import { startEngine } from './engine.ts'

export interface RedisProcess extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Where it speaks TLS, when it was given a certificate. */
  readonly tlsPort: number
  /** As `kill -9`: with what was saved last on disk. */
  kill(): Promise<void>
  /** On what was saved last; resolves when clients may connect. */
  start(): Promise<void>
  /** Connections stay open, and nothing is answered. */
  pause(): void
  resume(): void
}

const BINARY = '/usr/bin/redis-server'
const START_TIMEOUT_MS = 20_000

export const isRedisInstalled = existsSync(BINARY)

export interface RedisServerOptions {
  signal?: AbortSignal
  /** Speaks TLS with this certificate, on a port besides the one of `url`. */
  tls?: { key: string; cert: string }
}

export async function startRedisServer({
  signal,
  tls,
}: RedisServerOptions = {}): Promise<RedisProcess> {
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-redis-'))
  starting.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const host = '127.0.0.1'
  const port = await findFreePort(host)
  const options = { cwd: folder, ...(signal && { signal }) }
  const tlsPort = await findFreePort(host)
  const settings = ['--bind', host, '--port', String(port), '--dir', folder, '--save', '']
  if (tls) {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    await Promise.all([writeFile(key, tls.key), writeFile(cert, tls.cert)])
    settings.push('--tls-port', String(tlsPort), '--tls-auth-clients', 'no')
    settings.push('--tls-key-file', key, '--tls-cert-file', cert)
  }
  const engine = starting.use(
    await startEngine({
      name: 'Redis',
      command: BINARY,
      args: settings,
      options,
      greet: () => greet(host, port),
      startTimeoutMs: START_TIMEOUT_MS,
    }),
  )
  const everything = starting.move()
  return {
    url: `redis://${host}:${port}`,
    port,
    tlsPort,
    kill: engine.kill,
    start: engine.start,
    pause: () => engine.signal('SIGSTOP'),
    resume: () => engine.signal('SIGCONT'),
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

/** Resolves when somebody there speaks the protocol of Redis, and has loaded what it had. */
function greet(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 1_000 })
    socket.on('connect', () => socket.write('PING\r\n'))
    socket.on('data', (data) => {
      if (data.toString().startsWith('+PONG')) resolve()
      socket.destroy()
    })
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => {})
    socket.on('close', () => reject(new Error('Redis does not answer yet')))
  })
}
