// The whole way of a picture as it is in production: an api and a worker, PostgreSQL, a broker, Redis and
// an S3, all on this machine, against the bare loop. Each broker has processes, a database and a bucket
// of its own.

import { join } from 'node:path'
import type { Bench, BenchResult } from './bench.ts'
import { openPictureRates, PICTURES } from './picture-rates.ts'
import { createBenchDatabase } from './postgres.ts'
import { childrenCpuMsOf, cpuMsOf } from './process-usage.ts'
import { type BenchedProcess, startService } from './service.ts'
import {
  type StartedEngine,
  startKafka,
  startRabbitmq,
  startRedis,
  startS3,
} from './started-engines.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5

const brokers = [
  { what: 'RabbitMQ', start: startRabbitmq },
  { what: 'Kafka', start: startKafka },
] as const

interface Measured {
  bare: number
  pipeline: number
  ratio: number
  /** Of a picture. */
  cpu: ProcessorTimes
}

/** Milliseconds. */
interface ProcessorTimes {
  api: number
  worker: number
  children: number
}

interface Subject extends AsyncDisposable {
  what: string
  engines: readonly StartedEngine[]
  api: BenchedProcess
  worker: BenchedProcess
  rounds: Measured[]
}

export const enginesBench: Bench = {
  name: 'engines',
  about: `${PICTURES} pictures of 2725x2225 a round through an api and a worker on PostgreSQL, a broker, Redis and S3, against a bare loop over the same file`,
  needs: ['postgres', 'rabbitmq', 'kafka', 'redis', 's3'],
  run: async ({ directory, report }) => {
    await using stack = new AsyncDisposableStack()
    const rates = stack.use(await openPictureRates(directory))
    const subjects: Subject[] = []
    for (const broker of brokers) {
      const subject = stack.use(await openSubject(join(directory, broker.what), broker))
      await rates.warmUp(subject.api.url)
      subjects.push(subject)
      report(`${subject.what}: warm`)
    }
    for (let n = 1; n <= ROUNDS; n++) {
      const { rate: bare } = await rates.loop()
      for (const subject of subjects) {
        const before = await processorTimesOf(subject)
        const pipeline = await rates.pipeline(subject.api.url)
        const after = await processorTimesOf(subject)
        const cpu = {
          api: (after.api - before.api) / PICTURES,
          worker: (after.worker - before.worker) / PICTURES,
          children: (after.children - before.children) / PICTURES,
        }
        subject.rounds.push({ bare, pipeline, ratio: pipeline / bare, cpu })
        const rate = `${round(pipeline)}/s against ${round(bare)}/s`
        report(`round ${n}: ${subject.what} ${rate} (${rates.name})`)
      }
    }
    return resultOf(subjects)
  },
}

async function openSubject(
  directory: string,
  { what, start }: (typeof brokers)[number],
): Promise<Subject> {
  await using opening = new AsyncDisposableStack()
  const database = opening.use(await createBenchDatabase())
  const engines: StartedEngine[] = []
  for (const open of [start, startRedis, startS3]) engines.push(opening.use(await open()))
  const settings = Object.assign(
    { DATABASE_URL: database.url, PUBLIC_URL: 'http://bench.example', LOG_LEVEL: 'warn' },
    ...engines.map((engine) => engine.settings),
  )
  const startRole = async (role: 'api' | 'worker') =>
    opening.use(await startService(join(directory, role), { ...settings, ROLE: role }))
  const parts = { api: await startRole('api'), worker: await startRole('worker') }
  const opened = opening.move()
  return {
    what,
    engines,
    ...parts,
    rounds: [],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

async function processorTimesOf({ api, worker }: Subject): Promise<ProcessorTimes> {
  return {
    api: await cpuMsOf(api.pid),
    worker: await cpuMsOf(worker.pid),
    children: await childrenCpuMsOf(worker.pid),
  }
}

function resultOf(subjects: readonly Subject[]): BenchResult {
  const of = ({ rounds }: Subject, pick: (measured: Measured) => number) =>
    round(median(rounds.map(pick)))
  return {
    rows: [
      ...subjects.slice(0, 1).map((subject) => ({
        what: 'bare sharp loop',
        value: of(subject, ({ bare }) => bare),
        unit: 'pictures/s',
      })),
      ...subjects.map((subject) => ({
        what: `${subject.what}: ratio`,
        value: of(subject, ({ ratio }) => ratio),
        unit: '',
        target: '≥ 0.80',
      })),
    ],
    table: {
      columns: [
        '',
        'pictures/s',
        'ratio',
        'processor a picture: api, ms',
        'worker, ms',
        'its children, ms',
      ],
      rows: subjects.map((subject) => [
        subject.what,
        of(subject, ({ pipeline }) => pipeline),
        of(subject, ({ ratio }) => ratio),
        of(subject, ({ cpu }) => cpu.api),
        of(subject, ({ cpu }) => cpu.worker),
        of(subject, ({ cpu }) => cpu.children),
      ]),
    },
    rounds: subjects.map(({ what, rounds }) => ({ what, rounds })),
    engines: [...new Set(subjects.flatMap(({ engines }) => engines.map(({ name }) => name)))],
  }
}
