// How lists keep up as the catalogue grows: the first page and the hundredth, in a small catalogue and
// in a large one, as a client has them. Beside them PGlite with the small one.

import { join } from 'node:path'
import { migrate } from '../src/database/migrate.ts'
import { openDatabase } from '../src/database/open.ts'
import type { Bench, BenchResult } from './bench.ts'
import { fillWithPictures, serveCatalogue } from './catalogue.ts'
import { type BenchedProcess, startService } from './service.ts'
import { median, round } from './statistics.ts'

const SMALL = 10_000
const LARGE = Number(process.env.BENCH_PRODUCTS || 1_000_000)
const MIN_ROUNDS = 5
const MAX_ROUNDS = 100
const TIME_FOR_A_PAGE_MS = 1_200
/** Plans are settled after a few runs of a statement. */
const WARM_UP = 6

/** The 100th page of 20 begins after 19 pages of 100 and 4 of 20. */
const WAY = [...Array<number>(19).fill(100), ...Array<number>(4).fill(20)]

/** As `fillCatalogue` makes them, `u0` has a tenth of all products, `u700` one in 2,400; one in 80 is an oak chair. */
const lists = [
  '',
  'sort=created_at',
  'user_id=u0',
  'user_id=u700',
  'processing_status=completed',
  'processing_status=failed',
  'user_id=u0&processing_status=failed',
  'sort=product_price',
  'sort=-product_price',
  'min_price=100&max_price=110&sort=product_price',
  'min_price=100&max_price=110',
  'min_price=10&max_price=10.50',
  'sort=product_name',
  'processing_status=failed&sort=product_name',
  'product_name=chair',
  'product_name=oak%20chair',
  'product_name=oak%20chair&sort=product_name',
  'product_name=c4ca42',
  'product_name=zzz',
  'user_id=u0&product_name=oa',
  'q=kitchen',
  'q=oak%20chair',
  'q=oak%20chair&sort=product_name',
  'q=oak%20chair&min_price=4000',
  'q=oak%20chair&sort=relevance',
  'q=zebrawood',
  'q=zebrawood&sort=relevance',
  'include=total',
  'q=oak%20chair&include=total',
]

const catalogues = ['small', 'large', 'embedded'] as const
type Catalogue = (typeof catalogues)[number]
type Services = Record<Catalogue, BenchedProcess>

/** Medians, milliseconds; undefined where there is no such page. */
interface Measured {
  query: string
  first: Partial<Record<Catalogue, number>>
  hundredth: Partial<Record<Catalogue, number>>
}

export const listsBench: Bench = {
  name: 'lists',
  about: `GET /products, the first page and the hundredth, of ${LARGE} products against ${SMALL}`,
  needs: ['postgres'],
  run: async ({ directory, report }) => {
    await using small = await serveCatalogue(join(directory, 'small'), SMALL)
    const startedAt = performance.now()
    await using large = await serveCatalogue(join(directory, 'large'), LARGE)
    report(`${LARGE} products after ${Math.round((performance.now() - startedAt) / 1000)} s`)
    await fillEmbedded(join(directory, 'embedded', 'data', 'db'))
    await using embedded = await startService(join(directory, 'embedded'), { LOG_LEVEL: 'warn' })
    const services = { small: small.service, large: large.service, embedded }
    // Else the first list pays for what the services compile as they are used.
    for (const query of [...lists, ...lists, ...lists]) await measurePage(services, () => query, 1)
    const measured: Measured[] = []
    for (const query of lists) {
      const each = await measureList(services, query)
      measured.push(each)
      report(
        `${nameOf(query)}: ${show(each.first.small)} ms, ${show(each.first.large)} ms; 100th ${show(each.hundredth.small)} ms, ${show(each.hundredth.large)} ms`,
      )
    }
    return resultOf(measured)
  },
}

async function fillEmbedded(directory: string): Promise<void> {
  await using database = await openDatabase({ engine: 'pglite', directory })
  await migrate(database)
  await fillWithPictures(database, SMALL)
}

async function measureList(services: Services, query: string): Promise<Measured> {
  const first = await measurePage(services, () => query)
  const after: Partial<Record<Catalogue, string>> = {}
  for (const catalogue of catalogues) {
    const cursor = await cursorOfHundredth(services[catalogue], query)
    if (cursor !== undefined) after[catalogue] = `${query}&cursor=${cursor}`
  }
  return { query, first, hundredth: await measurePage(services, (catalogue) => after[catalogue]) }
}

/** One catalogue after the other, again and again, so that what disturbs one disturbs all. */
async function measurePage(
  services: Services,
  queryOf: (catalogue: Catalogue) => string | undefined,
  maxRounds = MAX_ROUNDS,
): Promise<Measured['first']> {
  const times: Record<Catalogue, number[]> = { small: [], large: [], embedded: [] }
  const until = performance.now() + TIME_FOR_A_PAGE_MS
  for (let n = 1 - WARM_UP; n <= maxRounds; n++) {
    if (n > MIN_ROUNDS && performance.now() > until) break
    for (const catalogue of catalogues) {
      const query = queryOf(catalogue)
      if (query === undefined) continue
      const startedAt = performance.now()
      await pageOf(services[catalogue], query)
      if (n > 0) times[catalogue].push(performance.now() - startedAt)
    }
  }
  const medians = catalogues
    .filter((catalogue) => times[catalogue].length > 0)
    .map((catalogue) => [catalogue, median(times[catalogue])])
  return Object.fromEntries(medians)
}

/** Undefined where the list ends before. */
async function cursorOfHundredth(
  service: BenchedProcess,
  query: string,
): Promise<string | undefined> {
  let cursor: string | null = null
  for (const limit of WAY) {
    const after: string = cursor === null ? '' : `&cursor=${cursor}`
    const page: Page = await pageOf(service, `${query}&limit=${limit}${after}`)
    cursor = page.next_cursor
    if (cursor === null) return undefined
  }
  return cursor ?? undefined
}

interface Page {
  next_cursor: string | null
}

async function pageOf({ url }: BenchedProcess, query: string): Promise<Page> {
  const response = await fetch(`${url}/products?${query}`)
  if (!response.ok) throw new Error(`${query}: ${response.status}: ${await response.text()}`)
  return (await response.json()) as Page
}

function resultOf(measured: readonly Measured[]): BenchResult {
  const ratio = ({ small, large }: Measured['first']) =>
    small === undefined || large === undefined ? undefined : large / small
  const newest = measured.find(({ query }) => query === '')
  return {
    rows: [
      {
        what: 'first page by created_at: ratio',
        value: round((newest && ratio(newest.first)) ?? Number.NaN),
        unit: '',
        target: '≤ 1.2',
      },
    ],
    table: {
      columns: [
        'list',
        `first, ${say(SMALL)}, ms`,
        `first, ${say(LARGE)}, ms`,
        'ratio',
        `first, PGlite ${say(SMALL)}, ms`,
        `100th, ${say(SMALL)}, ms`,
        `100th, ${say(LARGE)}, ms`,
        'ratio',
      ],
      rows: measured.map(({ query, first, hundredth }) => [
        nameOf(query),
        show(first.small),
        show(first.large),
        show(ratio(first)),
        show(first.embedded),
        show(hundredth.small),
        show(hundredth.large),
        show(ratio(hundredth)),
      ]),
    },
    rounds: measured,
  }
}

function nameOf(query: string): string {
  return query === '' ? 'all, newest first' : decodeURIComponent(query)
}

function show(value: number | undefined): string | number {
  return value === undefined ? '–' : round(value)
}

function say(products: number): string {
  return products % 1_000_000 === 0 ? `${products / 1_000_000} M` : `${products / 1_000} k`
}
