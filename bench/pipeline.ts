// How much of the machine's rendering speed is left when a picture takes the whole way: request,
// ledger, download, inspection, rendering in a child, storage, settling.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Bench } from './bench.ts'
import { post, ready } from './client.ts'
import { largePicture, type PictureOrigin, startPictureOrigin } from './pictures.ts'
import { type Memory, watchMemory } from './process-usage.ts'
import { startService } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const PRODUCTS = 10
const PICTURES_EACH = 20
const PICTURES = PRODUCTS * PICTURES_EACH
const LOOP = fileURLToPath(new URL('sharp-loop.ts', import.meta.url))
const MIB = 1024 * 1024

export const pipelineBench: Bench = {
  name: 'pipeline',
  about: `${PICTURES} pictures of 2725x2225 a round, from POST to ready, against a bare loop over the same file`,
  run: async ({ directory, report }) => {
    const { name, body } = await largePicture()
    const file = join(directory, 'picture.jpg')
    await writeFile(file, body)
    await using origin = await startPictureOrigin(body)
    await using service = await startService(directory, { LOG_LEVEL: 'warn' })
    await runPipeline(service.url, origin, 1)
    const rounds: { bare: number; pipeline: number; ratio: number; memory: Memory }[] = []
    for (let n = 1; n <= ROUNDS; n++) {
      const bare = await runLoop(file)
      using memory = watchMemory(service.pid)
      const pipeline = await runPipeline(service.url, origin, PRODUCTS)
      rounds.push({ bare, pipeline, ratio: pipeline / bare, memory: memory.peak })
      report(`round ${n}: ${round(pipeline)}/s against ${round(bare)}/s (${name})`)
    }
    await service.stop()
    const of = (pick: (round: (typeof rounds)[number]) => number) => round(median(rounds.map(pick)))
    return {
      rows: [
        { what: 'bare sharp loop', value: of(({ bare }) => bare), unit: 'pictures/s' },
        { what: 'whole pipeline', value: of(({ pipeline }) => pipeline), unit: 'pictures/s' },
        { what: 'ratio', value: of(({ ratio }) => ratio), unit: '', target: '≥ 0.80' },
        {
          what: 'memory, peak: parent',
          value: of(({ memory }) => memory.parent / MIB),
          unit: 'MiB',
        },
        {
          what: 'memory, peak: children together',
          value: of(({ memory }) => memory.children / MIB),
          unit: 'MiB',
        },
      ],
      rounds,
    }
  },
}

/** Pictures a second. */
async function runPipeline(url: string, origin: PictureOrigin, products: number): Promise<number> {
  const pictures = Array.from({ length: products }, () => origin.fresh(PICTURES_EACH))
  const startedAt = performance.now()
  const posted = await Promise.all(pictures.map((urls) => post(url, urls)))
  // Looked at one after the other: the last one is what counts, and asking costs little.
  for (const { id } of posted) await ready(url, id, 20)
  return (products * PICTURES_EACH * 1000) / (performance.now() - startedAt)
}

/** Pictures a second, with as many at once as the service has children. */
async function runLoop(file: string): Promise<number> {
  const args = [LOOP, file, String(PICTURES), String(availableParallelism())]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return (PICTURES * 1000) / Number(stdout)
}
