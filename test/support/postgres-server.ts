// A PostgreSQL server of the caller's own, to be stopped, killed and started again: what tests of
// outages need. Uses the installed binaries, as a user that is not root, on a free port.

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'node:test'
import { promisify } from 'node:util'
import { findFreePort } from '../../src/app/free-port.ts'
import { skipUnlessRequired } from './required.ts'

export interface PostgresServer extends AsyncDisposable {
  /** Superuser `vitrine`, password `secret`, database `postgres`. */
  readonly url: string
  readonly port: number
  /** `fast` ends sessions politely; `immediate` is a crash. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
  /** Stops all its processes where they are: connections stand, and nothing is answered. Until `thaw`. */
  freeze(): Promise<void>
  thaw(): Promise<void>
}

const run = promisify(execFile)
const binaries = findBinaries()

/** Runs a suite that starts servers of its own; says why when it cannot, and fails where it must (CI). */
export function describeWithPostgresServer(name: string, suite: () => void): void {
  const missing = binaries ? undefined : 'no PostgreSQL server is installed'
  describe(name, { skip: skipUnlessRequired('postgres', missing) }, suite)
}

export async function startPostgresServer(): Promise<PostgresServer> {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-postgres-'))
  const data = join(parent, 'data')
  const password = join(parent, 'password')
  await mkdir(data)
  await writeFile(password, 'secret')
  for (const path of [parent, data, password]) await giveToServer(path)
  await asServer('initdb', [
    '-D',
    data,
    '-U',
    'vitrine',
    '-A',
    'scram-sha-256',
    '--pwfile',
    password,
  ])
  const port = await findFreePort('127.0.0.1')
  const settings = `-p ${port} -k ${parent} -c listen_addresses=127.0.0.1 -c fsync=off`
  const start = async () => {
    await asServer('pg_ctl', ['-D', data, '-w', '-l', join(parent, 'log'), '-o', settings, 'start'])
  }
  const stop = async (mode: 'fast' | 'immediate' = 'fast') => {
    await asServer('pg_ctl', ['-D', data, '-w', '-m', mode, 'stop'])
  }
  await start()
  const signal = async (name: NodeJS.Signals) => {
    const [pid] = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n', 1)
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    // The first begets the others.
    for (const one of `${pid} ${children}`.trim().split(' ')) process.kill(Number(one), name)
  }
  return {
    url: `postgres://vitrine:secret@127.0.0.1:${port}/postgres`,
    port,
    start,
    stop,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      if (existsSync(join(data, 'postmaster.pid'))) await stop('immediate')
      await rm(parent, { recursive: true, force: true })
    },
  }
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

async function asServer(command: string, args: readonly string[]): Promise<void> {
  const program = join(binaries ?? '', command)
  const [file, rest] = isRoot
    ? ['runuser', ['-u', 'postgres', '--', program, ...args]]
    : [program, [...args]]
  // pg_ctl leaves its output to the server, which keeps it open: nothing may wait for its end.
  await new Promise<void>((resolve, reject) => {
    const child = execFile(file, rest, { cwd: '/' })
    let errors = ''
    child.stderr?.on('data', (chunk: string) => {
      errors += chunk
    })
    child.on('error', reject)
    child.on('exit', (code) => {
      child.stdout?.destroy()
      child.stderr?.destroy()
      if (code === 0) resolve()
      else reject(new Error(`${command} failed with ${code}: ${errors}`))
    })
  })
}

async function giveToServer(path: string): Promise<void> {
  if (!isRoot) return
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout)
  await chown(path, await id('-u'), await id('-g'))
}
