// The real program as a process of its own, for what only processes can show: kills, signals, roles.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../../src/app/free-port.ts'
import type { ProductDocument } from '../../src/products/product.ts'
import { copyEmbeddedDatabase } from './database.ts'
import { eventually } from './eventually.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface Service {
  /** `http://127.0.0.1:<port>`: of the API, or of a worker's health. */
  url: string
  process: ChildProcess
  /** Everything it wrote so far: standard output and standard error. */
  output(): string
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL, and gone when this resolves. */
  kill(): Promise<void>
}

export interface Environment {
  [name: string]: string
}

/** A folder for a service's data, removed in the end. With an empty database in it, or quite empty. */
export async function makeDataFolder({
  empty = false,
} = {}): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'vitrine-service-'))
  if (!empty) await copyEmbeddedDatabase(join(path, 'db'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

export interface ServiceOptions {
  /** Where its `.env` and `config.yaml` are. */
  cwd?: string
}

/** Starts the program without waiting for anything. */
export async function spawnService(
  environment: Environment,
  options: ServiceOptions = {},
): Promise<Service & AsyncDisposable> {
  const wanted = environment.ROLE === 'worker' ? environment.WORKER_PORT : environment.PORT
  const port = wanted ?? String(await findFreePort('127.0.0.1'))
  const child = spawn(process.execPath, [main, 'serve'], {
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      ...environment,
      [environment.ROLE === 'worker' ? 'WORKER_PORT' : 'PORT']: port,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  })
  const written: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => written.push(text))
  }
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return await exited
  }
  return {
    url: `http://127.0.0.1:${port}`,
    process: child,
    output: () => written.join(''),
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  }
}

/** Starts the service and waits until it is ready. */
export async function startService(
  environment: Environment,
  options?: ServiceOptions,
): Promise<Service & AsyncDisposable> {
  const service = await spawnService(environment, options)
  const { url, process: child, output } = service
  const isReady = async () => (await fetch(`${url}/readyz`)).status === 200
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  await eventually(async () => {
    if (!hasEnded() && !(await isReady())) throw new Error(`not ready: ${output()}`)
  }, 240_000)
  if (hasEnded()) throw new Error(`the service ended with code ${child.exitCode}: ${output()}`)
  return service
}

export async function postProduct(
  { url }: Pick<Service, 'url'>,
  pictures: readonly string[],
  changes: object = {},
): Promise<ProductDocument> {
  const response = await fetch(`${url}/products`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      user_id: '1234-5678-9012',
      product_name: 'Sample Product',
      product_price: 100,
      product_images: pictures,
      ...changes,
    }),
  })
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as ProductDocument
}

export async function getProduct(
  { url }: Pick<Service, 'url'>,
  id: string,
): Promise<ProductDocument> {
  const response = await fetch(`${url}/products/${id}`)
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as ProductDocument
}

/** The product once none of its pictures is under way any more. */
export async function settled(
  service: Pick<Service, 'url'>,
  id: string,
  timeoutMs = 180_000,
): Promise<ProductDocument> {
  return await eventually(async () => {
    const product = await getProduct(service, id)
    if (product.processing_status === 'processing') {
      throw new Error(`still processing: ${JSON.stringify(product.images)}`)
    }
    return product
  }, timeoutMs)
}
