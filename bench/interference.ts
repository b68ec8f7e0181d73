// What readers notice of pictures: cached reads at a steady rate while the same process has nothing else to
// do, and while its pipeline has more pictures than it can take. Each is sent when it is due, answered
// or not the ones before, so that a service which stalls is not asked less often.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import type { Bench } from './bench.ts'
import { post, ready } from './client.ts'
import { largePicture, type PictureOrigin, startPictureOrigin } from './pictures.ts'
import { createBenchDatabase } from './postgres.ts'
import { startService } from './service.ts'
import { median, percentile, round } from './statistics.ts'

const ROUNDS = 5
const SECONDS = 5
const PER_SECOND = 400
const CONNECTIONS = 50
/** More of them than are processed in a round. */
const PRODUCTS = 10
const PICTURES_EACH = 20

interface Latency {
  p50: number
  p99: number
}

export const interferenceBench: Bench = {
  name: 'interference',
  about: `GET /products/:id from the cache, ${PER_SECOND} a second, beside an idle and a busy pipeline`,
  needs: ['postgres'],
  run: async ({ directory, report }) => {
    await using origin = await startPictureOrigin((await largePicture()).body)
    await using database = await createBenchDatabase()
    await using service = await startService(join(directory, 'service'), {
      DATABASE_URL: database.url,
      PUBLIC_URL: 'http://bench.example',
      LOG_LEVEL: 'warn',
    })
    const { url } = service
    const { id } = await post(url, [])
    await readBusily(url, id, origin)
    const rounds: { idle: Latency; busy: Latency }[] = []
    for (let n = 1; n <= ROUNDS; n++) {
      const idle = await readSteadily(url, id)
      const busy = await readBusily(url, id, origin)
      rounds.push({ idle, busy })
      report(`round ${n}: p99 ${round(idle.p99)} ms idle, ${round(busy.p99)} ms busy`)
    }
    const of = (pick: (each: (typeof rounds)[number]) => number) => round(median(rounds.map(pick)))
    return {
      rows: [
        {
          what: 'p99, busy against idle',
          value: of(({ idle, busy }) => busy.p99 / idle.p99),
          unit: 'x',
        },
      ],
      table: {
        columns: ['pipeline', 'p50, ms', 'p99, ms'],
        rows: [
          ['idle', of(({ idle }) => idle.p50), of(({ idle }) => idle.p99)],
          ['busy', of(({ busy }) => busy.p50), of(({ busy }) => busy.p99)],
        ],
      },
      rounds,
    }
  },
}

/** Throws when the pipeline ran out of pictures before the reading was over. */
async function readBusily(url: string, id: string, origin: PictureOrigin): Promise<Latency> {
  const pictures = Array.from({ length: PRODUCTS }, () => origin.fresh(PICTURES_EACH))
  const posted = await Promise.all(pictures.map((urls) => post(url, urls)))
  let left = posted.length
  const settled = Promise.all(
    posted.map(async (product) => {
      await ready(url, product.id, 250)
      left--
    }),
  )
  const latency = await readSteadily(url, id)
  if (left === 0) throw new Error('the pipeline was idle before the round was over')
  await settled
  return latency
}

async function readSteadily(url: string, id: string): Promise<Latency> {
  await using stack = new AsyncDisposableStack()
  const pool = stack.adopt(new Pool(url, { connections: CONNECTIONS }), (open) => open.close())
  const latencies: number[] = []
  const read = async () => {
    const sentAt = performance.now()
    const { statusCode, body } = await pool.request({ method: 'GET', path: `/products/${id}` })
    await body.bytes()
    if (statusCode !== 200) throw new Error(`${statusCode} for a product`)
    latencies.push(performance.now() - sentAt)
  }
  const startedAt = performance.now()
  const sent: Promise<void>[] = []
  while (sent.length < SECONDS * PER_SECOND) {
    const due = ((performance.now() - startedAt) * PER_SECOND) / 1000
    while (sent.length < due) sent.push(read())
    await delay(1)
  }
  await Promise.all(sent)
  return { p50: percentile(latencies, 50), p99: percentile(latencies, 99) }
}
