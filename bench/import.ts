// How fast `vitrine products import` takes a large file in, and what memory it needs for that.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { Bench } from './bench.ts'
import { createBenchDatabase } from './postgres.ts'
import { cpuMsOf, memoryOf } from './process-usage.ts'
import { median, percentile, round } from './statistics.ts'

const LINES = Number(process.env.BENCH_PRODUCTS || 1_000_000)
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const SAMPLE_EVERY_MS = 100
const MB = 1_000_000

export const importBench: Bench = {
  name: 'import',
  about: `vitrine products import of ${LINES} lines on PostgreSQL, each with a picture`,
  needs: ['postgres'],
  run: async ({ directory, report }) => {
    const file = join(directory, 'products.ndjson')
    await pipeline(Readable.from(lines()), createWriteStream(file))
    report(`${LINES} lines are written`)
    await using database = await createBenchDatabase()
    const { seconds, cpuMs, memory } = await runImport(directory, file, database.url)
    const half = memory.slice(Math.floor(memory.length / 2))
    return {
      rows: [
        { what: 'rate', value: round(LINES / seconds), unit: 'products/s' },
        {
          what: 'share of the time that the import itself computes',
          value: round((cpuMs / seconds / 1000) * 100),
          unit: '%',
        },
        {
          what: 'memory, peak',
          value: round(percentile(memory, 100) / MB),
          unit: 'MB',
          target: '≤ 200 MB',
        },
        {
          what: 'memory, median of the first half',
          value: round(median(memory.slice(0, half.length)) / MB),
          unit: 'MB',
        },
        {
          what: 'memory, median of the second half',
          value: round(median(half) / MB),
          unit: 'MB',
        },
      ],
      rounds: { seconds, cpuMs, memory },
    }
  },
}

/** Some thousand at a time: a write for each line would take longer than the import. */
function* lines(): Generator<string> {
  for (let from = 0; from < LINES; from += 10_000) {
    const count = Math.min(10_000, LINES - from)
    yield Array.from({ length: count }, (_, n) => lineOf(from + n)).join('')
  }
}

function lineOf(n: number): string {
  return `${JSON.stringify({
    user_id: `seller-${n % 1_000}`,
    product_name: `Oak chair ${n}`,
    product_description: 'For the kitchen, of one piece, with a seat of woven straw.',
    product_price: (n % 10_000) / 100,
    product_images: [`https://pictures.example/${n}.jpg`],
  })}\n`
}

/** As an operator runs it, with its memory as the kernel counts it. */
async function runImport(
  directory: string,
  file: string,
  url: string,
): Promise<{ seconds: number; cpuMs: number; memory: number[] }> {
  const args = [MAIN, 'products', 'import', file, '--json']
  const startedAt = performance.now()
  const child = spawn(process.execPath, args, {
    cwd: directory,
    env: { PATH: process.env.PATH, DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const { pid = 0 } = child
  const memory: number[] = []
  let cpuMs = 0
  const timer = setInterval(async () => {
    const { parent } = await memoryOf(pid)
    // It may have ended in between: then there is nothing more to see.
    const now = await cpuMsOf(pid).catch(() => 0)
    if (parent === 0 || now === 0) return
    memory.push(parent)
    cpuMs = now
  }, SAMPLE_EVERY_MS)
  try {
    const [summary, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    if (code !== 0) throw new Error(`the import ended with ${code}: ${summary}`)
  } finally {
    clearInterval(timer)
    child.kill()
  }
  return { seconds: (performance.now() - startedAt) / 1000, cpuMs, memory }
}
