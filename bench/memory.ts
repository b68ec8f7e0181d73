// What a process occupies that has started and has nothing to do: the embedded service, and each role on
// real engines.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './bench.ts'
import { createBenchDatabase } from './postgres.ts'
import { type Memory, memoryOf } from './process-usage.ts'
import { startService } from './service.ts'
import { startRabbitmq, startRedis, startS3 } from './started-engines.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
/** After which nothing of the start is going on any more. */
const IDLE_AFTER_MS = 5_000
const MIB = 1024 * 1024

const roles = ['all', 'api', 'worker'] as const

interface Subject {
  what: string
  /** The embedded one keeps its folder: what the first start takes is another matter. */
  directory(round: number): string
  settings: Readonly<Record<string, string>>
}

export const memoryBench: Bench = {
  name: 'memory',
  about: `resident memory of processes ${IDLE_AFTER_MS / 1000} s after their start, with nothing to do`,
  needs: ['postgres', 'rabbitmq', 'redis', 's3'],
  run: async ({ directory, report }) => {
    await using database = await createBenchDatabase()
    await using rabbitmq = await startRabbitmq()
    await using redis = await startRedis()
    await using s3 = await startS3()
    const engines = [rabbitmq, redis, s3]
    const settings = Object.assign(
      { DATABASE_URL: database.url, PUBLIC_URL: 'http://bench.example' },
      ...engines.map((engine) => engine.settings),
    )
    const subjects: readonly Subject[] = [
      { what: 'embedded', directory: () => join(directory, 'embedded'), settings: {} },
      ...roles.map((role) => ({
        what: `on engines: ${role}`,
        directory: (n: number) => join(directory, role, String(n)),
        settings: { ...settings, ROLE: role },
      })),
    ]
    const rounds: Memory[][] = []
    for (let n = 0; n <= ROUNDS; n++) {
      const memory = await measure(subjects, n)
      if (n === 0) continue // makes the embedded database, and the schema of the other one
      rounds.push(memory)
      const sizes = memory.map(
        (each, at) => `${subjects[at]?.what} ${round((each.parent + each.children) / MIB)} MiB`,
      )
      report(`round ${n}: ${sizes.join(', ')}`)
    }
    const of = (at: number, pick: (memory: Memory) => number) =>
      round(median(rounds.flatMap((memory) => memory.slice(at, at + 1)).map(pick)) / MIB)
    return {
      rows: [],
      table: {
        columns: ['', 'process, MiB', 'its children, MiB'],
        rows: subjects.map(({ what }, at) => [
          what,
          of(at, ({ parent }) => parent),
          of(at, ({ children }) => children),
        ]),
      },
      rounds,
      engines: engines.map(({ name }) => name),
    }
  },
}

/** All of them started, one after the other, and then measured. */
async function measure(subjects: readonly Subject[], n: number): Promise<Memory[]> {
  await using stack = new AsyncDisposableStack()
  const pids: number[] = []
  for (const { directory, settings } of subjects) {
    const service = await startService(directory(n), { LOG_LEVEL: 'warn', ...settings })
    stack.defer(() => service.stop())
    pids.push(service.pid)
  }
  await delay(IDLE_AFTER_MS)
  return await Promise.all(pids.map(memoryOf))
}
