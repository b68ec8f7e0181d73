// A PostgreSQL server of the caller's own, to be stopped, killed and started again: what tests of
// outages need. Uses the installed binaries, as a user that is not root, on a free port.

import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'node:test'
import pg from 'pg'
import { type Running, run, start, until } from '../../scripts/processes.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import { skipUnlessRequired } from './required.ts'

export interface PostgresServer extends AsyncDisposable {
  /** Superuser `vitrine`, password `secret`, database `postgres`. */
  readonly url: string
  readonly port: number
  /** `fast` ends sessions politely; `immediate` is a crash. It may be frozen. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  /** Resolves when clients may connect; at once where it runs, and thawed where it is frozen. */
  start(): Promise<void>
  /** Stops all its processes where they are: connections stand, and nothing is answered. Until `thaw`. */
  freeze(): Promise<void>
  /** Does nothing where it is not frozen. */
  thaw(): Promise<void>
}

const START_TIMEOUT_MS = 30_000
const binaries = findBinaries()

/** Runs a suite that starts servers of its own; says why when it cannot, and fails where it must (CI). */
export function describeWithPostgresServer(name: string, suite: () => void): void {
  const missing = binaries ? undefined : 'no PostgreSQL server is installed'
  describe(name, { skip: skipUnlessRequired('postgres', missing) }, suite)
}

export async function startPostgresServer(): Promise<PostgresServer> {
  await using starting = new AsyncDisposableStack()
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-postgres-'))
  starting.defer(() => rm(parent, { recursive: true, force: true }))
  const data = await initialise(parent)
  const port = await findFreePort('127.0.0.1')
  const url = `postgres://vitrine:secret@127.0.0.1:${port}/postgres`
  const settings = ['-D', data, '-p', String(port), '-k', parent]
  const options = [
    'listen_addresses=127.0.0.1',
    'fsync=off',
    // Test files and the services they start use it at the same time.
    'max_connections=300',
  ].flatMap((option) => ['-c', option])
  let server: Running | undefined
  const launch = async () => {
    const lines: string[] = []
    const onLine = (line: string) => void lines.push(line)
    server = start(...asServer('postgres', [...settings, ...options]), { cwd: '/', onLine })
    void server.ended.then(() => {
      server = undefined
    })
    await until(() => server && greet(url), { timeoutMs: START_TIMEOUT_MS })
    if (!server) throw new Error(`PostgreSQL did not start: ${lines.join('\n')}`)
  }
  const freeze = async () => {
    if (!server) throw new Error('PostgreSQL does not run')
    const { pid } = server
    // The first begets the others and buries them: once it stands, they stay who they are.
    send(pid, 'SIGSTOP')
    await until(() => expectStopped(pid), { timeoutMs: START_TIMEOUT_MS })
    for (const child of await childrenOf(pid)) send(child, 'SIGSTOP')
  }
  const thaw = async () => {
    if (!server) return
    const { pid } = server
    for (const one of [...(await childrenOf(pid)), pid]) send(one, 'SIGCONT')
  }
  const stop = async (mode: 'fast' | 'immediate' = 'fast') => {
    if (!server) return
    const { pid, ended } = server
    await thaw()
    send(pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await ended
  }
  starting.defer(() => stop('immediate'))
  await launch()
  const everything = starting.move()
  return {
    url,
    port,
    start: () => (server ? thaw() : launch()),
    stop,
    freeze,
    thaw,
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

/** Makes an empty database; returns its folder. */
async function initialise(parent: string): Promise<string> {
  const data = join(parent, 'data')
  const password = join(parent, 'password')
  await mkdir(data)
  await writeFile(password, 'secret')
  for (const path of [parent, data, password]) await giveToServer(path)
  const settings = ['-D', data, '-U', 'vitrine', '-A', 'scram-sha-256', '--pwfile', password]
  await run(...asServer('initdb', settings), { cwd: '/' })
  return data
}

/** To a process that may have ended meanwhile. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** A process that has ended has none. */
async function childrenOf(pid: number): Promise<number[]> {
  const path = `/proc/${pid}/task/${pid}/children`
  const children = existsSync(path) ? await readFile(path, 'utf8') : ''
  return (children.match(/\d+/g) ?? []).map(Number)
}

/** Signals take effect a moment after they were sent. */
async function expectStopped(pid: number): Promise<void> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  if (!/^State:\tT/m.test(status)) throw new Error(`PostgreSQL does not stand still: ${status}`)
}

/** Resolves when a client may connect. */
async function greet(url: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.end()
}

function findBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian)
    ? readdirSync(debian).sort((a, b) => Number(b) - Number(a))
    : []
  return versions
    .map((version) => join(debian, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')))
}

/** PostgreSQL refuses to run as root: then it runs as the user that its package made. */
const isRoot = process.getuid?.() === 0

/** The command line of a program of the server's. It ends with this process, even if that is killed. */
function asServer(program: string, args: readonly string[]): [string, readonly string[]] {
  const user = isRoot ? ['--reuid', 'postgres', '--regid', 'postgres', '--clear-groups'] : []
  const path = join(binaries ?? '', program)
  return ['setpriv', [...user, '--pdeathsig', 'QUIT', path, ...args]]
}

async function giveToServer(path: string): Promise<void> {
  if (!isRoot) return
  const id = async (flag: string) => Number(await run('id', [flag, 'postgres'], { cwd: '/' }))
  await chown(path, await id('-u'), await id('-g'))
}
