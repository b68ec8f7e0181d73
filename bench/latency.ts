// How long one picture takes on an idle service, as its client sees it.

import type { Bench } from './bench.ts'
import { post, ready } from './client.ts'
import { smallPicture, startPictureOrigin } from './pictures.ts'
import { startService } from './service.ts'
import { percentile, round } from './statistics.ts'

const PICTURES = 200
const WARM_UP = 10
/** How often the client asks: as exact as the result can be. */
const ASK_EVERY_MS = 2

export const latencyBench: Bench = {
  name: 'latency',
  about: `from POST to ready for one picture of 100 KB, ${PICTURES} one after the other`,
  run: async ({ directory, report }) => {
    await using origin = await startPictureOrigin(await smallPicture())
    await using service = await startService(directory, { LOG_LEVEL: 'warn' })
    const measured: number[] = []
    for (let n = 1 - WARM_UP; n <= PICTURES; n++) {
      const pictures = origin.fresh(1)
      const startedAt = performance.now()
      const { id } = await post(service.url, pictures)
      await ready(service.url, id, ASK_EVERY_MS)
      if (n > 0) measured.push(performance.now() - startedAt)
      if (n > 0 && n % 50 === 0) report(`${n} pictures`)
    }
    await service.stop()
    const at = (percent: number) => round(percentile(measured, percent))
    return {
      rows: [
        { what: 'POST to ready, p50', value: at(50), unit: 'ms' },
        { what: 'POST to ready, p99', value: at(99), unit: 'ms' },
        { what: 'POST to ready, slowest', value: at(100), unit: 'ms' },
      ],
      rounds: measured,
    }
  },
}
