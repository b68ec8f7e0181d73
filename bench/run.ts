// npm run bench [-- name …]: runs the benchmarks one after the other, prints a table for each and
// writes everything to bench/results/. `report` puts the newest results into docs/performance.md.
// Figures of different runs or machines do not compare; ratios within one run do.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bench, Row, Table } from './bench.ts'
import { cachedBench } from './cached.ts'
import { doorbellBench } from './doorbell.ts'
import { enginesBench } from './engines.ts'
import { importBench } from './import.ts'
import { interferenceBench } from './interference.ts'
import { latencyBench } from './latency.ts'
import { levelsBench } from './levels.ts'
import { listsBench } from './lists.ts'
import { memoryBench } from './memory.ts'
import { pipelineBench } from './pipeline.ts'
import { describeServer, hasPostgres } from './postgres.ts'
import { readBench } from './read.ts'
import { writeReport } from './report.ts'
import { describeMachine, type Run, writeResults } from './results.ts'
import { startBench } from './start.ts'
import { engines, whyMissing } from './started-engines.ts'
import { streamsBench } from './streams.ts'
import { writeBench } from './write.ts'

const benches: readonly Bench[] = [
  pipelineBench,
  readBench,
  latencyBench,
  startBench,
  streamsBench,
  writeBench,
  cachedBench,
  listsBench,
  importBench,
  interferenceBench,
  levelsBench,
  doorbellBench,
  enginesBench,
  memoryBench,
]

const names = process.argv.slice(2)
if (names.join() === 'report') await writeReport(console.log)
else await runAll(choose(names))

async function runAll(chosen: readonly Bench[]): Promise<void> {
  const server = hasPostgres ? { server: await describeServer() } : {}
  const run: Run = { ...describeMachine(), ...server, results: {} }
  for (const { name, about, run: measure } of chosen) {
    console.log(`\n${name}: ${about}`)
    const directory = await mkdtemp(join(tmpdir(), `vitrine-bench-${name}-`))
    const result = await measure({ directory, report: (line) => console.log(`  ${line}`) })
    await rm(directory, { recursive: true, force: true })
    if (result.table) console.log(`${matrixOf(result.table)}\n`)
    if (result.rows.length > 0) console.log(tableOf(result.rows))
    // Written after each: one that fails does not take the others with it.
    run.results[name] = { about, ...result }
    console.log(`\nwritten to ${await writeResults(run)}`)
  }
}

/** Those that need an engine that is missing are left out, and refused when they are asked for. */
function choose(wanted: readonly string[]): readonly Bench[] {
  const known = [...benches.map(({ name }) => name), 'report']
  const unknown = wanted.filter((name) => !known.includes(name) || name === 'report')
  if (unknown.length > 0) throw new Error(`no bench ${unknown.join()}; there are ${known.join()}`)
  const chosen = benches.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  const left = new Set<Bench>()
  for (const engine of engines) {
    const reason = whyMissing(engine)
    const without = chosen.filter(({ needs }) => needs?.includes(engine))
    if (reason === undefined || without.length === 0) continue
    const told = `${without.map(({ name }) => name).join()} cannot run: ${reason}`
    if (wanted.length > 0) throw new Error(told)
    console.log(told)
    for (const bench of without) left.add(bench)
  }
  return chosen.filter((bench) => !left.has(bench))
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

function matrixOf({ columns, rows }: Table): string {
  const cells = [columns, ...rows].map((row) => row.map(String))
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)))
  return cells
    .map((row) => {
      const [what = '', ...figures] = row.map((cell, at) =>
        at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
      )
      return `  ${[what, ...figures].join('  ')}`
    })
    .join('\n')
}
