// Pictures a second of one large file: through the whole pipeline of a service, and in a bare loop.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { post, ready } from './client.ts'
import { largePicture, type PictureOrigin, startPictureOrigin } from './pictures.ts'

const PRODUCTS = 10
const PICTURES_EACH = 20
const WARM_UP_ROUNDS = 3
const LOOP = fileURLToPath(new URL('sharp-loop.ts', import.meta.url))

/** Of a round. */
export const PICTURES = PRODUCTS * PICTURES_EACH

export interface LoopRate {
  /** Pictures a second. */
  rate: number
  /** Processor time of each, milliseconds. */
  cpuMs: number
}

export interface PictureRates extends AsyncDisposable {
  /** Which picture it is. */
  name: string
  /** With as many at once as a service has children. */
  loop(): Promise<LoopRate>
  /** Pictures a second, from the first POST until all are ready. */
  pipeline(url: string): Promise<number>
  /** Rounds that are not measured: a service is a fifth slower until its code is compiled. */
  warmUp(url: string): Promise<void>
}

export async function openPictureRates(directory: string): Promise<PictureRates> {
  const { name, body } = await largePicture()
  const file = join(directory, 'picture.jpg')
  await writeFile(file, body)
  const origin = await startPictureOrigin(body)
  return {
    name,
    loop: () => runLoop(file),
    pipeline: (url) => runPipeline(url, origin, PRODUCTS),
    warmUp: async (url) => {
      for (let n = 0; n < WARM_UP_ROUNDS; n++) await runPipeline(url, origin, PRODUCTS)
    },
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  }
}

async function runPipeline(url: string, origin: PictureOrigin, products: number): Promise<number> {
  const pictures = Array.from({ length: products }, () => origin.fresh(PICTURES_EACH))
  const startedAt = performance.now()
  const posted = await Promise.all(pictures.map((urls) => post(url, urls)))
  // Looked at one after the other: the last one is what counts, and asking costs little.
  for (const { id } of posted) await ready(url, id, 20)
  return (products * PICTURES_EACH * 1000) / (performance.now() - startedAt)
}

async function runLoop(file: string): Promise<LoopRate> {
  const args = [LOOP, file, String(PICTURES), String(availableParallelism())]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const { elapsedMs, cpuMs } = JSON.parse(stdout)
  return { rate: (PICTURES * 1000) / elapsedMs, cpuMs: cpuMs / PICTURES }
}
