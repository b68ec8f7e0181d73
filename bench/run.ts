// npm run bench [-- name …]: runs the benchmarks one after the other, prints a table for each and
// writes everything to bench/results/. Figures of different runs or machines do not compare; ratios
// within one run do.

import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Bench, BenchResult, Row } from './bench.ts'
import { latencyBench } from './latency.ts'
import { pipelineBench } from './pipeline.ts'
import { readBench } from './read.ts'
import { startBench } from './start.ts'
import { streamsBench } from './streams.ts'

const benches: readonly Bench[] = [pipelineBench, readBench, latencyBench, startBench, streamsBench]
const RESULTS = fileURLToPath(new URL('results/', import.meta.url))

const results: Record<string, BenchResult> = {}
for (const bench of choose(process.argv.slice(2))) {
  console.log(`\n${bench.name}: ${bench.about}`)
  const directory = await mkdtemp(join(tmpdir(), `vitrine-bench-${bench.name}-`))
  const result = await bench.run({ directory, report: (line) => console.log(`  ${line}`) })
  await rm(directory, { recursive: true, force: true })
  results[bench.name] = result
  console.log(tableOf(result.rows))
}
console.log(`\nwritten to ${await write({ ...machine(), results })}`)

function choose(names: readonly string[]): readonly Bench[] {
  const known = benches.map(({ name }) => name)
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`no bench ${unknown.join()}; there are ${known.join()}`)
  return names.length === 0 ? benches : benches.filter(({ name }) => names.includes(name))
}

function tableOf(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(({ what }) => what.length))
  return rows
    .map(({ what, value, unit, target }) => {
      const line = `  ${what.padEnd(width)}  ${String(value).padStart(8)} ${unit}`
      return target === undefined ? line : `${line.padEnd(width + 24)} (${target})`
    })
    .join('\n')
}

function machine() {
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' })
  return {
    at: new Date().toISOString(),
    commit: commit.trim(),
    node: process.version,
    processors: cpus().map(({ model }) => model),
    memoryBytes: totalmem(),
  }
}

async function write(run: ReturnType<typeof machine> & { results: object }): Promise<string> {
  await mkdir(RESULTS, { recursive: true })
  const file = join(RESULTS, `${run.at.replaceAll(':', '-')}.json`)
  await writeFile(file, `${JSON.stringify(run, null, 2)}\n`)
  return file
}
