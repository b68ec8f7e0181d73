// `vitrine serve`: runs the service until it is told to stop.

import { addAbortListener, once } from 'node:events'
import type { Running } from '../app/compose.ts'
import { type Config, type LoadedConfig, loadConfig } from '../config/config.ts'
import { openLogOutput } from '../observability/log-output.ts'
import { createLogger, type Logger } from '../observability/logger.ts'
import { defineCommand } from './command.ts'
import { overridesOf, settingOptions } from './setting-options.ts'

export const serveCommand = defineCommand({
  name: 'serve',
  summary: 'run the service (npm start)',
  options: settingOptions,
  run: async ({ values, signal }) =>
    await serve(loadConfig({ overrides: overridesOf(values) }), signal),
})

/** Resolves to the exit code: 0 after a clean stop, 1 when the start failed or stopping took too long. */
async function serve(loaded: LoadedConfig, signal: AbortSignal): Promise<number> {
  const { config } = loaded
  const logOf = await createLogger({ ...config.log, pretty: process.stdout.isTTY })
  const log = logOf('app')
  for (const warning of [...loaded.warnings, ...unreachableLinks(loaded)]) log.warn(warning)
  // The whole service: other commands start in a quarter of the time without it.
  const { compose } = await import('../app/compose.ts')
  const starting = compose({ config, logOf, signal }).catch((error: unknown) => {
    if (signal.aborted) return undefined
    log.fatal(failureLine(error, log), describe(error))
    // Who wants no log wants to know all the same why nothing runs.
    if (!log.isLevelEnabled('fatal')) process.stderr.write(`${describe(error)}\n`)
    return undefined
  })
  const running = await unlessGivenUp(starting, signal)
  if (!running && signal.aborted) log.info('stopped before it had started')
  if (!running) return signal.aborted ? 0 : 1
  openLogOutput({ descriptor: 2 }).write(banner(config, running))
  if (!signal.aborted) await once(signal, 'abort')
  log.info('stopping: running work is finished or given back')
  return await stop(running, config.shutdownTimeoutMs, log)
}

/** Undefined also when the start was to stop and goes on all the same: the end of the process closes what it opened. */
async function unlessGivenUp<T>(starting: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: givenUp, resolve } = Promise.withResolvers<undefined>()
  let timer: NodeJS.Timeout | undefined
  using _listener = addAbortListener(signal, () => {
    timer = setTimeout(resolve, GIVING_BACK_MS, undefined)
  })
  try {
    return await Promise.race([starting, givenUp])
  } finally {
    clearTimeout(timer)
  }
}

/** Whoever is meant to reach the service from elsewhere is meant to see its pictures. */
function unreachableLinks({ config, settings }: LoadedConfig): string[] {
  const { role, server, storage } = config
  const publicUrl = settings.find(({ name }) => name === 'PUBLIC_URL')
  const isLocal = /^(localhost|127\..*|::1)$/.test(server.host)
  if (role === 'worker' || isLocal || publicUrl?.source !== 'default') return []
  if (storage.kind === 's3') return []
  return [
    `PUBLIC_URL is not set: links to pictures start with ${publicUrl.value}, which leads nowhere from other machines; set it to the address that clients use`,
  ]
}

/** Three lines: what runs where. */
function banner({ role, database, dataDir, storage }: Config, { url, healthUrl }: Running): string {
  const api = url === undefined ? `no API in this process, ${healthUrl}` : `API ${url}/api/v1`
  const isEmbedded = database.engine === 'pglite'
  const rows = isEmbedded ? 'embedded database' : `PostgreSQL ${database.connection.host}`
  const caution = isEmbedded ? ' (survives a crash, not a power cut: use PostgreSQL for that)' : ''
  const data =
    isEmbedded && storage.kind === 'filesystem'
      ? `embedded database and pictures in ${dataDir}${caution}`
      : `${rows}${caution}, pictures in ${placeOf(storage)}`
  const documents = url === undefined ? 'see docs/configuration.md' : `${url}/docs`
  return `Vitrine (${role}): ${api}\nData: ${data}\nDocs: ${documents}\n`
}

function placeOf(storage: Config['storage']): string {
  return storage.kind === 'filesystem' ? storage.directory : `the bucket ${storage.bucket}`
}

/** For giving back what did not finish, and closing: with the default, everything is over before Kubernetes kills at 30 s. */
const GIVING_BACK_MS = 4_000

async function stop(running: Running, timeoutMs: number, log: Logger): Promise<number> {
  const late = AbortSignal.timeout(timeoutMs + GIVING_BACK_MS)
  const stopped = running.stop().then(
    () => 0,
    (error: unknown) => {
      log.error({ err: error }, 'stopping failed')
      return 1
    },
  )
  const { promise: tooLate, resolve } = Promise.withResolvers<number>()
  using _listener = addAbortListener(late, () => resolve(1))
  const code = await Promise.race([stopped, tooLate])
  log.info(code === 0 ? 'stopped' : 'stopped before everything was finished')
  return code
}

/** An error for the operator is its message; a defect is worth its stack. */
function failureLine(error: unknown, log: Logger): object {
  return log.isLevelEnabled('debug') ? { err: error } : {}
}

function describe(error: unknown): string {
  return `cannot start: ${error instanceof Error ? error.message : String(error)}`
}
