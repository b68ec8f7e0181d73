// Results of runs, as JSON files in bench/results/ named after the time.

import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchResult } from './bench.ts'

const RESULTS = fileURLToPath(new URL('results/', import.meta.url))

export interface Machine {
  at: string
  commit: string
  node: string
  processors: string[]
  memoryBytes: number
}

/** What was measured, and what that was: it tells the sizes. */
export type Result = { about: string } & BenchResult

export interface Run extends Machine {
  /** The server of BENCH_DATABASE_URL, where there was one. */
  server?: string
  /** By the name of the bench. */
  results: Record<string, Result>
}

export function describeMachine(): Machine {
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' })
  return {
    at: new Date().toISOString(),
    commit: commit.trim(),
    node: process.version,
    processors: cpus().map(({ model }) => model),
    memoryBytes: totalmem(),
  }
}

/** The path of the file, which is written anew when there is more of the run. */
export async function writeResults(run: Run): Promise<string> {
  await mkdir(RESULTS, { recursive: true })
  const file = join(RESULTS, `${run.at.replaceAll(':', '-')}.json`)
  await writeFile(file, `${JSON.stringify(run, null, 2)}\n`)
  return file
}

/** Of each bench the newest run that has it. */
export async function newestRuns(): Promise<Map<string, Run>> {
  const newest = new Map<string, Run>()
  for (const name of (await readdir(RESULTS)).filter((each) => each.endsWith('.json')).sort()) {
    const run: Run = JSON.parse(await readFile(join(RESULTS, name), 'utf8'))
    for (const bench of Object.keys(run.results)) newest.set(bench, run)
  }
  return newest
}
