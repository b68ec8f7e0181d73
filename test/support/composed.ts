// The service as the composition root builds it, in this process: for tests that look into it (its SQL,
// its log) or start many. Settings are read as the program reads them.

import pino from 'pino'
import { compose, type Running } from '../../src/app/compose.ts'
import { type Config, loadConfig } from '../../src/config/config.ts'
import type { DatabaseConfig } from '../../src/config/database-config.ts'
import type { StatementObserver } from '../../src/database/sessions.ts'
import { type Environment, makeDataFolder } from './service.ts'

export interface LogLine {
  level: number
  area: string
  msg: string
  [field: string]: unknown
}

export interface Composed extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`: of the API. */
  url: string
  dataDir: string
  logs: LogLine[]
  stop(): Promise<void>
}

export interface ComposedOptions {
  onStatement?: StatementObserver
}

/** Starts on a free port, in a data folder of its own unless the environment names one. */
export async function startComposed(
  environment: Environment = {},
  { onStatement }: ComposedOptions = {},
): Promise<Composed> {
  await using starting = new AsyncDisposableStack()
  const dataDir = environment.DATA_DIR ?? starting.use(await makeDataFolder()).path
  const logs: LogLine[] = []
  const root = pino({ base: null }, { write: (line: string) => void logs.push(JSON.parse(line)) })
  const config = configOf({
    HOST: '127.0.0.1',
    PORT: '0',
    WORKER_PORT: '0',
    ...environment,
    DATA_DIR: dataDir,
  })
  const database: DatabaseConfig & { onStatement?: StatementObserver } = {
    ...config.database,
    ...(onStatement ? { onStatement } : {}),
  }
  const running: Running = await compose({
    config: { ...config, database },
    logOf: (area) => root.child({ area }, { level: config.log.level }),
    signal: new AbortController().signal,
  })
  const owned = starting.move()
  let stopping: Promise<void> | undefined
  const stop = async () => {
    stopping ??= running.stop().then(() => owned.disposeAsync())
    await stopping
  }
  return {
    url: (running.url ?? '').replace('localhost', '127.0.0.1'),
    dataDir,
    logs,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function configOf(env: Environment): Config {
  // A folder without .env and config.yaml: only what the test says counts.
  return loadConfig({ env, cwd: env.DATA_DIR ?? '/nonexistent' }).config
}
