// What is left of the database's speed when a product is posted: the service's requests a second against
// pgbench, which runs the very statement of the service with fresh ids. PGlite's figure stands beside.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Bench, BenchResult } from './bench.ts'
import { type Load, postRequest, putUnderLoad } from './load.ts'
import { createBenchDatabase } from './postgres.ts'
import { type BenchedProcess, startService } from './service.ts'
import { median, round } from './statistics.ts'
import { ORIGIN, pgbenchScript, USERS } from './write-statement.ts'

const ROUNDS = 5
const SECONDS = 4
const CLIENTS = 32

const kinds = [
  { what: 'without pictures', pictures: 0 },
  { what: 'with two pictures', pictures: 2 },
] as const

interface Measured {
  pgbench: number
  service: Load
  pglite: Load
}

export const writeBench: Bench = {
  name: 'write',
  about: `POST /products on PostgreSQL from ${CLIENTS} clients, against pgbench with the same statement`,
  needs: ['postgres'],
  run: async ({ directory, report }) => {
    await using database = await createBenchDatabase()
    await using bare = await createBenchDatabase()
    const env = { LOG_LEVEL: 'warn' }
    await using service = await startService(join(directory, 'postgres'), {
      ...env,
      DATABASE_URL: database.url,
      ROLE: 'api',
      PUBLIC_URL: 'http://bench.example',
    })
    // One process is all that it serves: its worker is kept as small as it goes.
    await using embedded = await startService(join(directory, 'pglite'), {
      ...env,
      WORKER_CONCURRENCY: '1',
    })
    const rounds: Measured[][] = []
    for (let n = 0; n <= ROUNDS; n++) {
      const measured: Measured[] = []
      for (const { pictures } of kinds) {
        const file = join(directory, `${pictures}.sql`)
        await writeFile(file, await pgbenchScript(pictures))
        measured.push({
          pgbench: await runPgbench(bare.url, file),
          service: await postFor(service, pictures),
          pglite: await postFor(embedded, pictures),
        })
      }
      // The first one is to warm up.
      if (n > 0) {
        rounds.push(measured)
        report(
          `round ${n}: ${kinds.map(({ what }, at) => `${what} ${say(measured[at])}`).join('; ')}`,
        )
      }
    }
    return resultOf(rounds)
  },
}

function say(measured: Measured | undefined): string {
  if (!measured) return ''
  const { service, pgbench, pglite } = measured
  return `${round(service.perSecond)}/s against ${round(pgbench)}/s, PGlite ${round(pglite.perSecond)}/s`
}

/** Statements a second. */
async function runPgbench(url: string, file: string): Promise<number> {
  const options = { '-c': CLIENTS, '-j': 2, '-T': SECONDS, '-M': 'prepared', '-f': file }
  const args = Object.entries(options).flatMap(([name, value]) => [name, String(value)])
  const { stdout } = await promisify(execFile)('pgbench', ['-n', ...args, url])
  const perSecond = Number(/tps = ([\d.]+)/.exec(stdout)?.[1])
  const failed = /failed transactions: (\d+)/.exec(stdout)?.[1]
  if (!(perSecond > 0) || failed !== '0') throw new Error(stdout)
  return perSecond
}

async function postFor(service: BenchedProcess, pictures: number): Promise<Load> {
  let posted = 0
  const next = () => {
    posted++
    return postRequest('/products', {
      user_id: `bench-${posted % USERS}`,
      product_name: 'A product',
      product_description: 'Posted by a benchmark.',
      product_price: 19.99,
      product_images: Array.from({ length: pictures }, (_, n) => `${ORIGIN}/${posted}/${n}.jpg`),
    })
  }
  return await putUnderLoad({ service, connections: CLIENTS, seconds: SECONDS, next, status: 201 })
}

function resultOf(rounds: readonly Measured[][]): BenchResult {
  const of = (kind: number, pick: (measured: Measured) => number) =>
    round(median(rounds.flatMap((measured) => measured.slice(kind, kind + 1)).map(pick)))
  const ratio = ({ service, pgbench }: Measured) => service.perSecond / pgbench
  return {
    rows: kinds.map(({ what }, kind) => ({
      what: `${what}: ratio`,
      value: of(kind, ratio),
      unit: '',
      target: '≥ 0.40',
    })),
    table: {
      columns: [
        '',
        'pgbench, /s',
        'POST, /s',
        'ratio',
        'p50, ms',
        'p99, ms',
        'processor, µs',
        'PGlite, /s',
      ],
      rows: kinds.map(({ what }, kind) => [
        what,
        of(kind, ({ pgbench }) => pgbench),
        of(kind, ({ service }) => service.perSecond),
        of(kind, ratio),
        of(kind, ({ service }) => service.p50Ms),
        of(kind, ({ service }) => service.p99Ms),
        of(kind, ({ service }) => service.cpuMicros),
        of(kind, ({ pglite }) => pglite.perSecond),
      ]),
    },
    rounds,
  }
}
