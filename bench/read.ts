// What a cached read costs beside the least that Node's own server could do: the same bytes under the
// same headers. The client is a process of its own. Where it is the slower one, requests per second
// flatter us, so the processor time of each server per request is shown as well.

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Bench } from './bench.ts'
import { post, ready } from './client.ts'
import { smallPicture, startPictureOrigin } from './pictures.ts'
import { cpuMsOf } from './process-usage.ts'
import { type BenchedProcess, startServer, startService } from './service.ts'
import { median, round } from './statistics.ts'

const ROUNDS = 5
const SECONDS = 4
const CONNECTIONS = 50
/** With one request in flight per connection the client was the slower of the two. */
const PIPELINING = 4
const BARE = fileURLToPath(new URL('bare-server.ts', import.meta.url))
const AUTOCANNON = createRequire(import.meta.url).resolve('autocannon')

interface Measured {
  perSecond: number
  /** Processor time of the server per request, microseconds. */
  cpuMicros: number
  /** Share of one processor that the server used. */
  busy: number
}

const subjects = ['bare', 'silent', 'logged'] as const
type Subject = (typeof subjects)[number]

export const readBench: Bench = {
  name: 'read',
  about: `GET /products/:id from the cache, ${CONNECTIONS} connections with ${PIPELINING} requests each, against node:http with the same bytes`,
  run: async ({ directory, report }) => {
    await using origin = await startPictureOrigin(await smallPicture())
    await using silent = await startService(join(directory, 'silent'), { LOG_LEVEL: 'warn' })
    await using logged = await startService(join(directory, 'logged'))
    const urls = {
      silent: await publish(silent, origin.fresh(1)),
      logged: await publish(logged, origin.fresh(1)),
    }
    await using bare = await startBare(directory, urls.silent)
    const servers: Record<Subject, { process: BenchedProcess; url: string }> = {
      bare: { process: bare, url: bare.url },
      silent: { process: silent, url: urls.silent },
      logged: { process: logged, url: urls.logged },
    }
    const rounds: Record<Subject, Measured>[] = []
    for (const subject of subjects) await measure(servers[subject])
    for (let n = 1; n <= ROUNDS; n++) {
      const measured: Partial<Record<Subject, Measured>> = {}
      for (const subject of subjects) measured[subject] = await measure(servers[subject])
      rounds.push(measured as Record<Subject, Measured>)
      const rates = subjects.map(
        (subject) => `${subject} ${round(measured[subject]?.perSecond ?? 0)}/s`,
      )
      report(`round ${n}: ${rates.join(', ')}`)
    }
    return { rows: rowsOf(rounds), rounds }
  },
}

function rowsOf(rounds: readonly Record<Subject, Measured>[]) {
  const of = (pick: (round: Record<Subject, Measured>) => number) => round(median(rounds.map(pick)))
  const rate = (subject: Subject, what: string) => ({
    what,
    value: of((round) => round[subject].perSecond),
    unit: 'requests/s',
  })
  const ratio = (subject: Subject, what: string, target: string) => [
    {
      what: `${what}: ratio`,
      value: of((r) => r[subject].perSecond / r.bare.perSecond),
      unit: '',
      target,
    },
    {
      what: `${what}: ratio by processor time`,
      value: of((r) => r.bare.cpuMicros / r[subject].cpuMicros),
      unit: '',
    },
  ]
  return [
    rate('bare', 'bare node:http'),
    rate('silent', 'without request logs'),
    rate('logged', 'request logs to a file'),
    ...ratio('silent', 'without request logs', '≥ 0.80'),
    ...ratio('logged', 'request logs to a file', '≥ 0.65'),
    { what: 'bare server busy', value: of((r) => r.bare.busy * 100), unit: '%' },
  ]
}

/** The URL of a product whose picture is ready. */
async function publish({ url }: BenchedProcess, pictures: readonly string[]): Promise<string> {
  const { id } = await post(url, pictures)
  await ready(url, id, 20)
  return `${url}/products/${id}`
}

/** Answers what the service answered, head and body. */
async function startBare(directory: string, url: string): Promise<BenchedProcess> {
  const response = await fetch(url)
  const own = new Set(['connection', 'keep-alive', 'date'])
  const headers = Object.fromEntries([...response.headers].filter(([name]) => !own.has(name)))
  const file = join(directory, 'answer.json')
  await writeFile(file, JSON.stringify({ headers, body: await response.text() }))
  return await startServer({ script: BARE, args: [file], path: '/', directory })
}

async function measure(server: { process: BenchedProcess; url: string }): Promise<Measured> {
  const cpuBefore = await cpuMsOf(server.process.pid)
  const load = { connections: CONNECTIONS, pipelining: PIPELINING, duration: SECONDS }
  const args = Object.entries(load).flatMap(([name, value]) => [`--${name}`, String(value)])
  const command = [AUTOCANNON, '--json', ...args, server.url]
  const { stdout } = await promisify(execFile)(process.execPath, command)
  const cpuMs = (await cpuMsOf(server.process.pid)) - cpuBefore
  const { requests, duration, non2xx, errors } = JSON.parse(stdout)
  if (non2xx + errors > 0) throw new Error(`${non2xx} other answers, ${errors} errors`)
  return {
    perSecond: requests.total / duration,
    cpuMicros: (cpuMs * 1000) / requests.total,
    busy: cpuMs / (duration * 1000),
  }
}
