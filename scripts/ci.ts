// What .ci/run does once the packages are there. Ends with the test runner's summary when all is well,
// with the reason when it is not. Everything it starts it ends.

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { startPostgresServer } from '../test/support/postgres-server.ts'
import { installKafka, startKafkaServer } from './engines/kafka.ts'
import { startRabbitmqServer } from './engines/rabbitmq.ts'
import { startRedisServer } from './engines/redis.ts'
import { installVersitygw, startVersitygw } from './engines/versitygw.ts'
import { fuzzApi } from './fuzz-api.ts'
import { run, start } from './processes.ts'
import { followReadme } from './readme-session.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Well over what it takes; only there so that it ends. */
const TIMEOUT_MS = 39 * 60_000
/** 20,000 requests where nothing else runs. */
const FUZZING_SECONDS = 300
/** What even a machine that is busy ten times over comes to: a run of fewer asked nothing of most operations. */
const FEWEST_REQUESTS = 2_000

const started = performance.now()
const stopped = new AbortController()
const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(TIMEOUT_MS)])
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => stopped.abort(new Error(`stopped by ${name}`)))

try {
  const summary = await runTests()
  await fuzz()
  await followSession()
  progress('everything holds')
  console.log(summary.join('\n'))
} catch (error) {
  progress(`FAILED: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}

/** The README's test command, with the real engines required. Returns the runner's summary. */
async function runTests(): Promise<string[]> {
  progress('starting PostgreSQL')
  await using postgres = await startPostgresServer()
  progress('starting S3, which is built the first time')
  await installVersitygw({ signal })
  await using s3 = await startVersitygw({ signal })
  progress('starting RabbitMQ')
  await using rabbitmq = await startRabbitmqServer({ signal })
  progress('starting Kafka, which is fetched the first time')
  await installKafka({ signal })
  await using kafka = await startKafkaServer({ signal })
  progress('starting Redis')
  await using redis = await startRedisServer({ signal })
  const pictures = picturesDirectory()
  const engines = ['postgres', 's3', 'rabbitmq', 'kafka', 'redis']
  const required = [...engines, ...(pictures === undefined ? [] : ['pictures'])].join(',')
  progress(`npm test, with ${required}`)
  const lines: string[] = []
  await using tests = start('npm', ['test'], {
    cwd: ROOT,
    signal,
    env: {
      TEST_DATABASE_URL: postgres.url,
      TEST_S3_ENDPOINT: s3.url,
      TEST_RABBITMQ_URL: rabbitmq.url,
      TEST_KAFKA_BROKERS: kafka.address,
      TEST_REDIS_URL: redis.url,
      VITRINE_TEST_REQUIRE: required,
      PICTURES_DIR: pictures,
    },
    onLine: (line) => {
      console.log(line)
      lines.push(line)
    },
  })
  const code = await tests.ended
  signal.throwIfAborted()
  if (code !== 0) throw new Error(`npm test ended with ${code ?? 'a signal'}`)
  const summary = lines.filter((line) => /^ℹ \w+ [\d.]+$/.test(line))
  if (!summary.includes('ℹ fail 0')) throw new Error('npm test printed no summary')
  return summary
}

async function fuzz(): Promise<void> {
  progress(`whatever the description allows, and more, for ${FUZZING_SECONDS} s`)
  const count = await fuzzApi({ seconds: FUZZING_SECONDS, signal, report: console.log })
  if (count < FEWEST_REQUESTS)
    throw new Error(`only ${count} requests were made, of ${FEWEST_REQUESTS} at least`)
  progress(`${count} requests, each answered as described`)
}

/** The real pictures lie beside the checkout, not in it; where they are expected they must be there. */
function picturesDirectory(): string | undefined {
  const directory = process.env.PICTURES_DIR ?? resolve(ROOT, '../shared/pictures')
  if (existsSync(join(directory, 'manifest.json'))) return directory
  if (process.env.CI === 'true') throw new Error(`no test pictures in ${directory}`)
  progress(`no test pictures in ${directory}: their tests are left out`)
  return undefined
}

/** In a clone of what is committed: what a newcomer gets, without anything that lies around here. */
async function followSession(): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-session-'))
  stack.defer(() => rm(parent, { recursive: true, force: true }))
  const directory = join(parent, 'vitrine')
  progress('the README in a fresh copy')
  const source = pathToFileURL(ROOT).href
  await run('git', ['clone', '--quiet', '--depth', '1', source, directory], { cwd: parent, signal })
  await followReadme({ directory, signal, report: (line) => progress(`  ${line}`) })
}

function progress(line: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6)
  console.log(`[${seconds} s] ${line}`)
}
