// What the cache is worth: GET /products/:id from memory and, with a cache of 0 bytes, from PostgreSQL,
// for one product and for keys as popular as those of a shop are (Zipf). How many statements each
// request cost is what the server counted. Each case has a service and a database of its own.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, BenchResult } from './bench.ts'
import { serveCatalogue } from './catalogue.ts'
import { getRequest, type Load, putUnderLoad } from './load.ts'
import { type BenchDatabase, STATISTICS_MS, transactionsOf } from './postgres.ts'
import type { BenchedProcess } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const SECONDS = 3
const CONNECTIONS = 50
const PRODUCTS = Number(process.env.BENCH_PRODUCTS || 100_000)

const cases = [
  { what: 'cached, one product', settings: {}, isOne: true },
  { what: 'uncached, one product', settings: { CACHE_SIZE: '0B' }, isOne: true },
  { what: 'cached, Zipf', settings: {}, isOne: false },
  { what: 'uncached, Zipf', settings: { CACHE_SIZE: '0B' }, isOne: false },
] as const

interface Subject extends AsyncDisposable {
  what: string
  database: BenchDatabase
  service: BenchedProcess
  next(): Buffer
  rounds: Load[]
}

export const cachedBench: Bench = {
  name: 'cached',
  about: `GET /products/:id of ${PRODUCTS} products on PostgreSQL, ${CONNECTIONS} connections, from the cache and without one`,
  needs: ['postgres'],
  run: async ({ directory, report }) => {
    await using stack = new AsyncDisposableStack()
    const subjects: Subject[] = []
    for (const each of cases) {
      subjects.push(stack.use(await openSubject(directory, each)))
      report(`${each.what}: warm`)
    }
    await delay(STATISTICS_MS)
    const before = await Promise.all(subjects.map(({ database }) => transactionsOf(database)))
    for (let n = 1; n <= ROUNDS; n++) {
      for (const subject of subjects) subject.rounds.push(await measure(subject, SECONDS))
      const rates = subjects.map(
        ({ what, rounds }) => `${what} ${round(rounds.at(-1)?.perSecond ?? 0)}/s`,
      )
      report(`round ${n}: ${rates.join('; ')}`)
    }
    await delay(STATISTICS_MS)
    const after = await Promise.all(subjects.map(({ database }) => transactionsOf(database)))
    const transactions = after.map((count, at) => count - (before[at] ?? 0))
    return resultOf(subjects, transactions)
  },
}

async function openSubject(
  directory: string,
  { what, settings, isOne }: (typeof cases)[number],
): Promise<Subject> {
  await using opened = new AsyncDisposableStack()
  const folder = join(directory, what.replaceAll(/\W+/g, '-'))
  const catalogue = opened.use(await serveCatalogue(folder, PRODUCTS, settings))
  const { database, service } = catalogue
  const ids = await catalogue.ids()
  const [first = ''] = ids
  const one = getRequest(`/products/${first}`)
  const draw = zipf(ids.length)
  const next = isOne ? () => one : () => getRequest(`/products/${ids[draw()]}`)
  const subject = { what, database, service, next, rounds: [] }
  // Each once, the most popular last: then memory holds what it has room for.
  let left = ids.length
  const warmUp = isOne ? next : () => getRequest(`/products/${ids[Math.max(0, --left)]}`)
  while (!isOne && left > 0) await measure({ ...subject, next: warmUp }, 1)
  await measure(subject, SECONDS)
  const owned = opened.move()
  return { ...subject, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function measure({ service, next }: Pick<Subject, 'service' | 'next'>, seconds: number) {
  return await putUnderLoad({ service, connections: CONNECTIONS, seconds, next, status: 200 })
}

/** Draws an index below `count`: the n-th as often as 1/n. */
function zipf(count: number): () => number {
  const sums = new Float64Array(count)
  let sum = 0
  for (let at = 0; at < count; at++) sums[at] = sum += 1 / (at + 1)
  return () => {
    const wanted = Math.random() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

function resultOf(subjects: readonly Subject[], transactions: readonly number[]): BenchResult {
  const of = (rounds: readonly Load[], pick: (load: Load) => number) =>
    round(median(rounds.map(pick)))
  const rows = subjects.map(({ what, rounds }, at) => {
    const requests = rounds.reduce((sum, load) => sum + load.requests, 0)
    return [
      what,
      of(rounds, ({ perSecond }) => perSecond),
      of(rounds, ({ p50Ms }) => p50Ms),
      of(rounds, ({ p99Ms }) => p99Ms),
      of(rounds, ({ cpuMicros }) => cpuMicros),
      round((transactions[at] ?? 0) / requests),
    ]
  })
  const gain = (cached: number, uncached: number) =>
    round(
      median(
        (subjects[cached]?.rounds ?? []).map(
          ({ perSecond }, n) => perSecond / (subjects[uncached]?.rounds[n]?.perSecond ?? 0),
        ),
      ),
    )
  return {
    rows: [
      { what: 'cached against uncached, one product', value: gain(0, 1), unit: 'x' },
      { what: 'cached against uncached, Zipf', value: gain(2, 3), unit: 'x' },
    ],
    table: {
      columns: ['', 'requests/s', 'p50, ms', 'p99, ms', 'processor, µs', 'statements per request'],
      rows,
    },
    rounds: subjects.map(({ what, rounds }, at) => ({
      what,
      rounds,
      transactions: transactions[at],
    })),
  }
}
