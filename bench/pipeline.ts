// How much of the machine's rendering speed is left when a picture takes the whole way: request,
// ledger, download, inspection, rendering in a child, storage, settling.

import type { Bench } from './bench.ts'
import { openPictureRates, PICTURES } from './picture-rates.ts'
import { type Memory, watchMemory } from './process-usage.ts'
import { startService } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const MIB = 1024 * 1024

export const pipelineBench: Bench = {
  name: 'pipeline',
  about: `${PICTURES} pictures of 2725x2225 a round, from POST to ready, against a bare loop over the same file`,
  run: async ({ directory, report }) => {
    await using rates = await openPictureRates(directory)
    await using service = await startService(directory, { LOG_LEVEL: 'warn' })
    await rates.warmUp(service.url)
    const rounds: { bare: number; pipeline: number; ratio: number; memory: Memory }[] = []
    for (let n = 1; n <= ROUNDS; n++) {
      const bare = await rates.loop()
      using memory = watchMemory(service.pid)
      const pipeline = await rates.pipeline(service.url)
      rounds.push({ bare, pipeline, ratio: pipeline / bare, memory: memory.peak })
      report(`round ${n}: ${round(pipeline)}/s against ${round(bare)}/s (${rates.name})`)
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
