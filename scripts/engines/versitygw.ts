// An S3 server of the caller's own, to be stopped and started again: versitygw on a private folder and port.
// Built once by Go and kept in the user's cache.

import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { findFreePort } from '../../src/app/free-port.ts'
import { run } from '../processes.ts'
import { startEngine } from './engine.ts'

export interface S3Server extends AsyncDisposable {
  /** With the keys of its owner: `http://key:secret@127.0.0.1:port`. */
  readonly url: string
  /** Kills it: what it answered is on its disk. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Another user, who may do nothing until a bucket's policy lets it. */
  addUser(user: { accessKeyId: string; secretAccessKey: string }): Promise<void>
}

const MODULE = 'github.com/versity/versitygw/cmd/versitygw'
export const VERSION = '1.8.0'
const CACHE = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
const FOLDER = join(CACHE, 'vitrine', `versitygw-${VERSION}`)
const BINARY = join(FOLDER, 'versitygw')
const START_TIMEOUT_MS = 30_000
const KEYS = { ROOT_ACCESS_KEY: 'vitrine', ROOT_SECRET_KEY: 'secret' }

export function isVersitygwInstalled(): boolean {
  return existsSync(BINARY)
}

/** Builds it when that was not done before: a minute and a quarter on two cores. */
export async function installVersitygw({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
  if (isVersitygwInstalled()) return
  await mkdir(FOLDER, { recursive: true })
  const building = await mkdtemp(join(FOLDER, 'building-'))
  const env = { GOBIN: building, PATH: `${process.env.PATH}${delimiter}/usr/local/go/bin` }
  const options = { cwd: FOLDER, env, ...(signal && { signal }) }
  try {
    await run('go', ['install', `${MODULE}@v${VERSION}`], options)
    await rename(join(building, 'versitygw'), BINARY)
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

export async function startVersitygw({ signal }: { signal?: AbortSignal } = {}): Promise<S3Server> {
  await using starting = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-s3-'))
  starting.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const data = join(folder, 'data')
  for (const path of [data, join(folder, 'users')]) await mkdir(path)
  const host = '127.0.0.1'
  const port = await findFreePort(host)
  const address = `${host}:${port}`
  const users = ['--iam-dir', join(folder, 'users')]
  const engine = starting.use(
    await startEngine({
      name: 'versitygw',
      command: BINARY,
      args: ['--port', address, ...users, '--quiet', '--keep-alive', 'posix', data],
      options: { cwd: folder, env: KEYS, ...(signal && { signal }) },
      greet: () => fetch(`http://${address}/`),
      startTimeoutMs: START_TIMEOUT_MS,
    }),
  )
  const everything = starting.move()
  return {
    url: `http://${KEYS.ROOT_ACCESS_KEY}:${KEYS.ROOT_SECRET_KEY}@${address}`,
    stop: engine.kill,
    start: engine.start,
    addUser: async ({ accessKeyId, secretAccessKey }) => {
      const owner = ['--access', KEYS.ROOT_ACCESS_KEY, '--secret', KEYS.ROOT_SECRET_KEY]
      const user = ['--access', accessKeyId, '--secret', secretAccessKey, '--role', 'user']
      const server = ['--endpoint-url', `http://${address}`]
      const args = ['admin', ...owner, ...server, 'create-user', ...user]
      await run(BINARY, args, { cwd: folder, ...(signal && { signal }) })
    },
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}
