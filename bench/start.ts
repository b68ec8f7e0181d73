// How long a start takes until the service answers, and what it occupies when it has nothing to do.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench } from './bench.ts'
import { type Memory, memoryOf } from './process-usage.ts'
import { startService } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
/** After which nothing of the start is going on any more. */
const IDLE_AFTER_MS = 5_000
const MIB = 1024 * 1024

export const startBench: Bench = {
  name: 'start',
  about: 'from the start of the process to the first 200 of /readyz, and memory at rest',
  run: async ({ directory, report }) => {
    const rounds: { empty: number; existing: number; memory: Memory }[] = []
    for (let n = 1; n <= ROUNDS; n++) {
      const folder = join(directory, String(n))
      const empty = await startOnce(folder)
      await using service = await startService(folder)
      await delay(IDLE_AFTER_MS)
      rounds.push({ empty, existing: service.startedInMs, memory: await memoryOf(service.pid) })
      report(
        `round ${n}: ${round(empty)} ms on an empty folder, ${round(service.startedInMs)} ms on its own`,
      )
      await service.stop()
    }
    const of = (pick: (round: (typeof rounds)[number]) => number) => round(median(rounds.map(pick)))
    return {
      rows: [
        { what: 'start on an empty data folder', value: of(({ empty }) => empty), unit: 'ms' },
        { what: 'start on an existing one', value: of(({ existing }) => existing), unit: 'ms' },
        {
          what: 'memory, idle: parent',
          value: of(({ memory }) => memory.parent / MIB),
          unit: 'MiB',
        },
        {
          what: 'memory, idle: children together',
          value: of(({ memory }) => memory.children / MIB),
          unit: 'MiB',
        },
      ],
      rounds,
    }
  },
}

async function startOnce(directory: string): Promise<number> {
  await using service = await startService(directory)
  await service.stop()
  return service.startedInMs
}
