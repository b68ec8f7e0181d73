// What a read costs at each level of the cache: found in memory; found in Redis, as by a process that
// has none of it in memory; found in neither. What a request costs the servers is what they counted.
// A bare server with one GET of Redis for each request stands beside the second.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'
import type { Bench, BenchResult } from './bench.ts'
import { serveCatalogue } from './catalogue.ts'
import { getRequest, type Load, putUnderLoad } from './load.ts'
import { type BenchDatabase, STATISTICS_MS, transactionsOf } from './postgres.ts'
import { type BenchedProcess, startServer } from './service.ts'
import { startRedis } from './started-engines.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const SECONDS = 3
const CONNECTIONS = 50
const BARE = fileURLToPath(new URL('bare-redis-server.ts', import.meta.url))

/** Many times the connections: products are read in turn, and readers of one and the same would share a look. */
const FEW = 1_000
/** More than are read in a round. */
const MANY = 100_000
const NO_MEMORY = { CACHE_SIZE: '0B' }

const levels = [
  { what: 'found in memory', products: FEW, settings: {}, isForgotten: false },
  { what: 'found in Redis', products: FEW, settings: NO_MEMORY, isForgotten: false },
  { what: 'found in neither', products: MANY, settings: NO_MEMORY, isForgotten: true },
] as const
/** Whose answers the bare server gives. */
const MODEL = 1

interface Measured extends Load {
  /** Commands sent to Redis. */
  commands: number
}

interface Subject extends AsyncDisposable {
  what: string
  server: BenchedProcess
  paths: readonly string[]
  /** Before each round. */
  prepare(): Promise<void>
  /** Where its statements are counted. */
  database?: BenchDatabase
  rounds: Measured[]
}

export const levelsBench: Bench = {
  name: 'levels',
  about: `GET /products/:id on PostgreSQL and Redis, ${CONNECTIONS} connections, by where the product is found`,
  needs: ['postgres', 'redis'],
  run: async ({ directory, report }) => {
    await using stack = new AsyncDisposableStack()
    const engine = stack.use(await startRedis())
    const url = engine.settings.CACHE_URL ?? ''
    const redis = stack.adopt(await connect(url), (open) => open.close())
    const subjects: Subject[] = []
    for (const [at, level] of levels.entries())
      subjects.push(
        stack.use(await openLevel(level, { directory: join(directory, `${at}`), redis, url })),
      )
    const [, model] = subjects
    if (model) subjects.push(stack.use(await openBare(model, { directory, redis, url })))
    for (const subject of subjects) await measure(subject, redis)
    report('all are warm')
    await delay(STATISTICS_MS)
    const before = await Promise.all(subjects.map(countStatements))
    for (let n = 1; n <= ROUNDS; n++) {
      for (const subject of subjects) subject.rounds.push(await measure(subject, redis))
      const rates = subjects.map(
        ({ what, rounds }) => `${what} ${round(rounds.at(-1)?.perSecond ?? 0)}/s`,
      )
      report(`round ${n}: ${rates.join('; ')}`)
    }
    await delay(STATISTICS_MS)
    const after = await Promise.all(subjects.map(countStatements))
    const statements = after.map((count, at) => count - (before[at] ?? 0))
    return { ...resultOf(subjects, statements), engines: [engine.name] }
  },
}

type Redis = Awaited<ReturnType<typeof connect>>

async function connect(url: string) {
  return await createClient({ url }).connect()
}

interface Place {
  directory: string
  redis: Redis
  url: string
}

async function openLevel(
  { what, products, settings, isForgotten }: (typeof levels)[number],
  { directory, redis, url }: Place,
): Promise<Subject> {
  await using opening = new AsyncDisposableStack()
  const prefix = `${what}:`
  const shared = { CACHE_URL: url, CACHE_PREFIX: prefix, ...settings }
  const catalogue = opening.use(await serveCatalogue(directory, products, shared))
  const { database, service: server } = catalogue
  const paths = (await catalogue.ids()).map((id) => `/products/${id}`)
  // Each once, so that those which can be found are.
  if (!isForgotten) for (const path of paths) await (await fetch(server.url + path)).bytes()
  const opened = opening.move()
  return {
    what,
    server,
    paths,
    database,
    prepare: async () => {
      if (isForgotten) await forget(redis, `${prefix}*:entry:*`)
    },
    rounds: [],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

/** Answers what `model` answers. */
async function openBare(
  { server, paths }: Subject,
  { directory, redis, url }: Place,
): Promise<Subject> {
  const [first = ''] = paths
  const { headers } = await fetch(server.url + first)
  for (const path of paths)
    await redis.set(path, Buffer.from(await (await fetch(server.url + path)).bytes()))
  const own = new Set(['connection', 'keep-alive', 'date', 'content-length'])
  const kept = [...headers].filter(([name]) => !own.has(name)).flat()
  const file = join(directory, 'bare.json')
  await writeFile(file, JSON.stringify({ headers: kept, redis: url }))
  const bare = await startServer({ script: BARE, args: [file], path: first, directory })
  return {
    what: 'bare node:http, one GET',
    server: bare,
    paths,
    prepare: async () => {},
    rounds: [],
    [Symbol.asyncDispose]: () => bare[Symbol.asyncDispose](),
  }
}

async function forget(redis: Redis, pattern: string): Promise<void> {
  for await (const keys of redis.scanIterator({ MATCH: pattern, COUNT: 1_000 }))
    if (keys.length > 0) await redis.unlink(keys)
}

async function measure(subject: Subject, redis: Redis): Promise<Measured> {
  const { server, paths } = subject
  await subject.prepare()
  const requests = paths.map(getRequest)
  let turn = 0
  const next = () => requests[turn++ % requests.length] ?? Buffer.alloc(0)
  const before = await countCommands(redis)
  const load = await putUnderLoad({
    service: server,
    connections: CONNECTIONS,
    seconds: SECONDS,
    next,
    status: 200,
  })
  return { ...load, commands: (await countCommands(redis)) - before }
}

/** So far, from anybody: what a read sends is a GET, or a script that begins with one, and scripts' calls are counted too. */
async function countCommands(redis: Redis): Promise<number> {
  const statistics = await redis.info('commandstats')
  return Number(/^cmdstat_get:calls=(\d+)/m.exec(statistics)?.[1] ?? 0)
}

async function countStatements({ database }: Subject): Promise<number> {
  return database ? await transactionsOf(database) : 0
}

function resultOf(subjects: readonly Subject[], statements: readonly number[]): BenchResult {
  const of = ({ rounds }: Subject, pick: (measured: Measured) => number) =>
    round(median(rounds.map(pick)))
  const requests = ({ rounds }: Subject) => rounds.reduce((sum, load) => sum + load.requests, 0)
  const [found, bare] = [subjects[MODEL]?.rounds ?? [], subjects.at(-1)?.rounds ?? []]
  const ratio = (pick: (found: Measured, bare: Measured) => number) =>
    round(median(found.map((each, n) => pick(each, bare[n] ?? each))))
  return {
    rows: [
      {
        what: 'found in Redis against bare: ratio',
        value: ratio((a, b) => a.perSecond / b.perSecond),
        unit: '',
        target: '≥ 0.90',
      },
      {
        what: 'found in Redis against bare: ratio by processor time',
        value: ratio((a, b) => b.cpuMicros / a.cpuMicros),
        unit: '',
      },
    ],
    table: {
      columns: [
        '',
        'requests/s',
        'p50, ms',
        'p99, ms',
        'processor, µs',
        'statements per request',
        'Redis commands per request',
      ],
      rows: subjects.map((subject, at) => [
        subject.what,
        of(subject, ({ perSecond }) => perSecond),
        of(subject, ({ p50Ms }) => p50Ms),
        of(subject, ({ p99Ms }) => p99Ms),
        of(subject, ({ cpuMicros }) => cpuMicros),
        subject.database ? round((statements[at] ?? 0) / requests(subject)) : '–',
        of(subject, ({ commands, requests }) => commands / requests),
      ]),
    },
    rounds: subjects.map(({ what, rounds }, at) => ({ what, rounds, statements: statements[at] })),
  }
}
