// The service under measurement: the real program in a process of its own, its logs in a file.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../src/app/free-port.ts'
import { vitrine } from '../test/support/vitrine.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const START_TIMEOUT_MS = 60_000

export interface BenchedProcess extends AsyncDisposable {
  url: string
  pid: number
  /** Milliseconds from the start of the process to its first 200. */
  startedInMs: number
  /** SIGTERM, and gone when this resolves. */
  stop(): Promise<void>
}

/** Starts the service, on its embedded stand-ins unless the settings say otherwise, with everything below `directory`. */
export async function startService(
  directory: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<BenchedProcess> {
  const env = { DATA_DIR: dataIn(directory), OUTBOUND_ALLOW: '127.0.0.0/8', ...settings }
  return await startServer({ script: MAIN, args: ['serve'], path: '/readyz', directory, env })
}

/** For a database that was filled without any files: the service in `directory` shall start on it nevertheless. */
export async function adoptStorage(directory: string, databaseUrl: string): Promise<void> {
  const env = { DATA_DIR: dataIn(directory), DATABASE_URL: databaseUrl }
  const { code, stderr } = await vitrine(['storage', 'adopt'], { env })
  if (code !== 0) throw new Error(stderr)
}

function dataIn(directory: string): string {
  return join(directory, 'data')
}

export interface ServerOptions {
  script: string
  args: readonly string[]
  /** Answers 200 once it is up. */
  path: string
  /** Where it runs and its `log` goes. */
  directory: string
  env?: Readonly<Record<string, string>>
}

/** Starts a server that listens on `PORT` of 127.0.0.1 (a worker: on `WORKER_PORT`) and waits for its first 200. */
export async function startServer(options: ServerOptions): Promise<BenchedProcess> {
  const { script, args, path, directory, env } = options
  await mkdir(directory, { recursive: true })
  const port = await findFreePort('127.0.0.1')
  await using log = await open(join(directory, 'log'), 'a')
  const environment = { PATH: process.env.PATH, HOST: '127.0.0.1' }
  const startedAt = performance.now()
  const child = spawn(process.execPath, [script, ...args], {
    cwd: directory,
    env: { ...environment, PORT: String(port), WORKER_PORT: String(port), ...env },
    stdio: ['ignore', log.fd, log.fd],
  })
  const exited = once(child, 'exit')
  const end = async (signal: NodeJS.Signals) => {
    if (!hasEnded(child)) child.kill(signal)
    await exited
  }
  const url = `http://127.0.0.1:${port}`
  await firstOk(url + path, child).catch(async (error) => {
    await end('SIGKILL')
    throw new Error(`${script} did not come up, see ${join(directory, 'log')}`, { cause: error })
  })
  return {
    url,
    pid: child.pid ?? 0,
    startedInMs: performance.now() - startedAt,
    stop: () => end('SIGTERM'),
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  }
}

async function firstOk(url: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline && !hasEnded(child)) {
    const response = await fetch(url).catch(() => undefined)
    await response?.bytes()
    if (response?.status === 200) return
    await delay(5)
  }
  throw new Error('no 200 came')
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}
