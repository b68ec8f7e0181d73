// From the commit of a job in one process to the start of its handler in another: the announcer, the queue,
// and the claim on PostgreSQL are the program's own, and the handler has nothing to do. Jobs come at
// random moments, so many a second on average, whether those before have started or not.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { addJob } from '../test/jobs/support.ts'
import type { Bench, BenchResult } from './bench.ts'
import { type DoorbellNode, machineMs, openNode } from './doorbell-node.ts'
import type { WorkerMessage } from './doorbell-worker.ts'
import { createBenchDatabase } from './postgres.ts'
import { type StartedEngine, startKafka, startRabbitmq } from './started-engines.ts'
import { median, percentile, round } from './statistics.ts'

const ROUNDS = 5
const SECONDS = 4
const RATES = [50, 500] as const
/** Since the last of them was committed. */
const PATIENCE_MS = 30_000
const WORKER = fileURLToPath(new URL('doorbell-worker.ts', import.meta.url))

interface Latency {
  p50: number
  p99: number
}

interface Kind {
  what: string
  start?(): Promise<StartedEngine>
}

const kinds: readonly Kind[] = [
  { what: 'PostgreSQL' },
  { what: 'RabbitMQ', start: startRabbitmq },
  { what: 'Kafka', start: startKafka },
]

interface Subject extends AsyncDisposable {
  what: string
  engine: StartedEngine | undefined
  node: DoorbellNode
  /** By the id of a job. */
  startedAt: Map<string, number>
  /** For each rate, round by round. */
  rounds: Latency[][]
}

export const doorbellBench: Bench = {
  name: 'doorbell',
  about: `from the commit of a job to the start of its handler in another process, ${RATES.join(' and ')} jobs a second`,
  needs: ['postgres', 'rabbitmq', 'kafka'],
  run: async ({ report }) => {
    await using stack = new AsyncDisposableStack()
    const subjects: Subject[] = []
    for (const kind of kinds) subjects.push(stack.use(await openSubject(kind)))
    for (let n = 0; n <= ROUNDS; n++) {
      for (const subject of subjects) {
        const measured: Latency[] = []
        for (const rate of RATES) measured.push(await measure(subject, rate))
        if (n === 0) continue // to warm up
        subject.rounds.push(measured)
        const told = measured.map(
          ({ p50, p99 }, at) => `${RATES[at]}/s p50 ${round(p50)} ms, p99 ${round(p99)} ms`,
        )
        report(`round ${n}: ${subject.what} ${told.join('; ')}`)
      }
    }
    return resultOf(subjects)
  },
}

async function openSubject({ what, start }: Kind): Promise<Subject> {
  await using opening = new AsyncDisposableStack()
  const engine = start && opening.use(await start())
  const database = opening.use(await createBenchDatabase())
  const settings = { DATABASE_URL: database.url, ...engine?.settings }
  const node = opening.use(await openNode(settings))
  const worker = fork(WORKER, { env: { PATH: process.env.PATH, ...settings } })
  const exited = once(worker, 'exit')
  opening.defer(async () => {
    worker.kill('SIGKILL')
    await exited
  })
  const startedAt = new Map<string, number>()
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>()
  void exited.then(() => reject(new Error('the worker has ended')))
  worker.on('message', (message: WorkerMessage) => {
    if (message === 'listening') resolve()
    else startedAt.set(message.id, message.startedAt)
  })
  await listening
  const opened = opening.move()
  return {
    what,
    engine,
    node,
    startedAt,
    rounds: [],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

async function measure({ node, startedAt }: Subject, perSecond: number): Promise<Latency> {
  const committedAt = new Map<string, number>()
  const add = async () => {
    const id = await addJob(node.database)
    committedAt.set(id, machineMs())
    node.database.signals.send('jobs')
  }
  startedAt.clear()
  await atRandom(perSecond, add)
  const deadline = performance.now() + PATIENCE_MS
  while (startedAt.size < committedAt.size) {
    if (performance.now() > deadline) throw new Error('jobs were not started')
    await delay(10)
  }
  const latencies = [...committedAt].map(([id, at]) => (startedAt.get(id) ?? Number.NaN) - at)
  return { p50: percentile(latencies, 50), p99: percentile(latencies, 99) }
}

/** Calls `work` so many times a second on average, independent of when it was called before; resolves when all is done. */
async function atRandom(perSecond: number, work: () => Promise<void>): Promise<void> {
  const begun: Promise<void>[] = []
  const pause = () => (-Math.log(1 - Math.random()) * 1000) / perSecond
  const startedAt = performance.now()
  for (let due = pause(); due < SECONDS * 1000; due += pause()) {
    const earlyMs = startedAt + due - performance.now()
    if (earlyMs > 0) await delay(earlyMs)
    begun.push(work())
  }
  await Promise.all(begun)
}

function resultOf(subjects: readonly Subject[]): BenchResult {
  const of = ({ rounds }: Subject, rate: number, pick: (latency: Latency) => number) =>
    round(median(rounds.flatMap((round) => round.slice(rate, rate + 1)).map(pick)))
  return {
    rows: [],
    table: {
      columns: ['queue', ...RATES.flatMap((rate) => [`${rate}/s: p50, ms`, `${rate}/s: p99, ms`])],
      rows: subjects.map((subject) => [
        subject.what,
        ...RATES.flatMap((_, rate) => [
          of(subject, rate, ({ p50 }) => p50),
          of(subject, rate, ({ p99 }) => p99),
        ]),
      ]),
    },
    rounds: subjects.map(({ what, rounds }) => ({ what, rounds })),
    engines: subjects.flatMap(({ engine }) => engine?.name ?? []),
  }
}
