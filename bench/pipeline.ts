// How much of the machine's rendering speed is left when a picture takes the whole way: request,
// ledger, download, inspection, rendering in a child, storage, settling.

import type { Bench } from './bench.ts'
import { openPictureRates, PICTURES } from './picture-rates.ts'
import { childrenCpuMsOf, cpuMsOf, type Memory, watchMemory } from './process-usage.ts'
import { startService } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const MIB = 1024 * 1024

interface Measured {
  /** Pictures a second. */
  bare: number
  pipeline: number
  ratio: number
  /** Of a picture. */
  cpu: { bareMs: number; parentMs: number; childrenMs: number }
  memory: Memory
}

export const pipelineBench: Bench = {
  name: 'pipeline',
  about: `${PICTURES} pictures of 2725x2225 a round, from POST to ready, against a bare loop over the same file`,
  run: async ({ directory, report }) => {
    await using rates = await openPictureRates(directory)
    await using service = await startService(directory, { LOG_LEVEL: 'warn' })
    await rates.warmUp(service.url)
    const rounds: Measured[] = []
    for (let n = 1; n <= ROUNDS; n++) {
      const { rate: bare, cpuMs: bareMs } = await rates.loop()
      using memory = watchMemory(service.pid)
      const before = await processorOf(service.pid)
      const pipeline = await rates.pipeline(service.url)
      const after = await processorOf(service.pid)
      const parentMs = (after.parent - before.parent) / PICTURES
      const childrenMs = (after.children - before.children) / PICTURES
      const cpu = { bareMs, parentMs, childrenMs }
      rounds.push({ bare, pipeline, ratio: pipeline / bare, cpu, memory: memory.peak })
      report(`round ${n}: ${round(pipeline)}/s against ${round(bare)}/s (${rates.name})`)
    }
    await service.stop()
    const of = (pick: (round: Measured) => number) => round(median(rounds.map(pick)))
    return {
      rows: [
        { what: 'bare sharp loop', value: of(({ bare }) => bare), unit: 'pictures/s' },
        { what: 'whole pipeline', value: of(({ pipeline }) => pipeline), unit: 'pictures/s' },
        { what: 'ratio', value: of(({ ratio }) => ratio), unit: '', target: '≥ 0.80' },
        { what: 'processor a picture: bare loop', value: of(({ cpu }) => cpu.bareMs), unit: 'ms' },
        {
          what: 'processor a picture: children',
          value: of(({ cpu }) => cpu.childrenMs),
          unit: 'ms',
        },
        { what: 'processor a picture: parent', value: of(({ cpu }) => cpu.parentMs), unit: 'ms' },
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

/** Processor time so far, milliseconds. */
async function processorOf(pid: number): Promise<{ parent: number; children: number }> {
  return { parent: await cpuMsOf(pid), children: await childrenCpuMsOf(pid) }
}
