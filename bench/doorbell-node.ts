// What a process has between a commit and its worker, opened as the program opens it: with the settings
// that the program would have, a job of which nobody needs the result.

import pino from 'pino'
import { type Config, loadConfig } from '../src/config/config.ts'
import type { Database } from '../src/database/database.ts'
import { openDatabase } from '../src/database/open.ts'
import { openAnnouncer } from '../src/jobs/announcer.ts'
import type { Logger } from '../src/observability/logger.ts'
import { openQueue } from '../src/queue/open.ts'
import type { Queue } from '../src/queue/queue.ts'
import { testJob } from '../test/jobs/support.ts'

export interface DoorbellNode extends AsyncDisposable {
  config: Config
  database: Database
  queue: Queue
  log: Logger
}

export type Settings = Readonly<Record<string, string | undefined>>

/** With an announcer at work, as every process has one. */
export async function openNode(settings: Settings): Promise<DoorbellNode> {
  await using opening = new AsyncDisposableStack()
  // No folder: only what is given counts.
  const { config } = loadConfig({ env: settings, cwd: '/nonexistent' })
  const log = pino({ level: 'warn' }, pino.destination(2))
  const database = opening.use(await openDatabase(config.database))
  const engine = config.queue.kind === 'postgres' ? { ...config.queue, database } : config.queue
  const queue = opening.use(await openQueue({ ...engine, log }))
  opening.use(
    openAnnouncer({ database, queue, definitions: [testJob], settings: config.jobs, log }),
  )
  const opened = opening.move()
  return { config, database, queue, log, [Symbol.asyncDispose]: () => opened.disposeAsync() }
}

/** Milliseconds of a clock that all processes of a machine share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
