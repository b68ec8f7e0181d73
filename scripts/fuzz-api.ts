// Asks a running service whatever its own description allows, and much that it does not, and holds each
// answer against that description: schemathesis, with all its checks (schemathesis.toml).
// By hand: node scripts/fuzz-api.ts [seconds [seed]]. Needs PostgreSQL and Python with venv.

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../src/app/free-port.ts'
import { openStorage } from '../src/storage/open.ts'
import { startPostgresServer } from '../test/support/postgres-server.ts'
import { type Running, run, start, until } from './processes.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const CONFIG = fileURLToPath(new URL('schemathesis.toml', import.meta.url))
const REQUIREMENTS = fileURLToPath(new URL('schemathesis-requirements.txt', import.meta.url))
const ENVIRONMENT = fileURLToPath(new URL('../node_modules/.cache/schemathesis', import.meta.url))
const DEFAULT_SECONDS = 300
const START_TIMEOUT_MS = 60_000

export interface FuzzOptions {
  /** How long new requests are thought of; it ends some seconds later. */
  seconds: number
  /** Of a run that is to be repeated. */
  seed?: string | undefined
  signal?: AbortSignal
  report: (line: string) => void
}

/** Returns the number of requests. Throws when an answer is not as described, or the service logged an error. */
export async function fuzzApi(options: FuzzOptions): Promise<number> {
  const { seconds, seed, signal, report } = options
  const program = await installSchemathesis(signal)
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-fuzz-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const service = stack.use(await startService(directory, signal))

  const lines: string[] = []
  const args = ['--config-file', CONFIG, '--no-color', 'run', `${service.url}/openapi.json`]
  const fuzzing = start(
    program,
    [...args, '--max-time', String(seconds), ...(seed === undefined ? [] : ['--seed', seed])],
    {
      cwd: directory,
      env: { NO_PROXY: '127.0.0.1' },
      ...(signal ? { signal } : {}),
      onLine: (line) => {
        lines.push(line)
        report(line)
      },
    },
  )
  stack.use(fuzzing)
  const code = await fuzzing.ended
  signal?.throwIfAborted()
  // What is wrong stands in the lines; with the seed they print it can be had again.
  if (code !== 0) throw new Error(`schemathesis ended with ${code ?? 'a signal'}`)
  if (service.lines.length > 0) throw new Error(`the service said\n${service.lines.join('\n')}`)
  const [, count] = /^\s*(\d+) generated/m.exec(lines.join('\n')) ?? []
  if (count === undefined) throw new Error('schemathesis did not say how much it did')
  return Number(count)
}

interface FuzzedService extends AsyncDisposable {
  url: string
  /** What its processes logged: errors only, so that there should be none. */
  lines: string[]
}

/**
 * On a PostgreSQL of its own. Pictures reach all their states and no picture leaves the machine: the
 * api accepts what is described, and the policy of the worker refuses every port that is in use.
 */
async function startService(directory: string, signal?: AbortSignal): Promise<FuzzedService> {
  await using stack = new AsyncDisposableStack()
  const postgres = stack.use(await startPostgresServer())
  const port = await findFreePort('127.0.0.1')
  const url = `http://127.0.0.1:${port}`
  const lines: string[] = []
  const serve = (environment: Record<string, string>): Running =>
    start(process.execPath, [MAIN, 'serve'], {
      cwd: directory,
      env: {
        DATABASE_URL: postgres.url,
        DATA_DIR: directory,
        HOST: '127.0.0.1',
        PORT: String(port),
        LOG_LEVEL: 'error',
        ...environment,
      },
      ...(signal ? { signal } : {}),
      // The banner is no log.
      onLine: (line) => void (line.startsWith('{') && lines.push(line)),
    })
  await storePicture(join(directory, 'objects'))
  stack.use(serve({ ROLE: 'api' }))
  await until(async () => assertReady(url), { timeoutMs: START_TIMEOUT_MS, signal })
  stack.use(serve({ ROLE: 'worker', WORKER_PORT: '0', OUTBOUND_PORTS: '1' }))
  const owned = stack.move()
  return { url, lines, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** One that can be asked for, whole and in parts: schemathesis.toml knows its key. */
async function storePicture(directory: string): Promise<void> {
  await using storage = await openStorage({ kind: 'filesystem', directory })
  const contentType = 'image/jpeg'
  await storage.put('fuzzed.jpg', randomBytes(1_000), { contentType })
}

async function assertReady(url: string): Promise<void> {
  const { status } = await fetch(`${url}/readyz`)
  if (status !== 200) throw new Error(`the service is not ready: ${status}`)
}

/** Into an environment that is kept until other versions are required. Returns the program. */
async function installSchemathesis(signal?: AbortSignal): Promise<string> {
  const options = { cwd: tmpdir(), ...(signal ? { signal } : {}) }
  const installed = join(ENVIRONMENT, 'installed.txt')
  const required = await readFile(REQUIREMENTS, 'utf8')
  if (!existsSync(installed) || (await readFile(installed, 'utf8')) !== required) {
    await rm(ENVIRONMENT, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', ENVIRONMENT], options)
    const install = ['install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS]
    await run(join(ENVIRONMENT, 'bin/pip'), install, options)
    await copyFile(REQUIREMENTS, installed)
  }
  return join(ENVIRONMENT, 'bin/schemathesis')
}

if (import.meta.main) {
  const [seconds = DEFAULT_SECONDS, seed] = process.argv.slice(2)
  const count = await fuzzApi({ seconds: Number(seconds), seed, report: console.log })
  console.log(`${count} requests, and every answer was as described`)
}
