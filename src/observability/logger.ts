// Structured logs: pretty on a terminal, JSON lines else. Each area of the code has its own level.

import pino from 'pino'
import type { LogArea, LogLevel } from '../lib/log-levels.ts'
import { errorFields } from './error-fields.ts'
import { type LogOutput, openLogOutput } from './log-output.ts'

export type Logger = pino.Logger

export interface LoggerOptions {
  level: LogLevel
  /** Levels of single areas, by area: `{ pipeline: 'debug' }`. */
  levels: Readonly<Partial<Record<LogArea, LogLevel>>>
  pretty: boolean
  /** The descriptor to write to: standard output without it, or 2 where that has a result to carry. */
  descriptor?: 1 | 2
}

/** Gives the logger of an area (`http`, `jobs`, `pipeline` …). */
export type LoggerOf = (area: LogArea) => Logger

/** Nobody who logs waits for who reads; lines that nobody reads in time are dropped, and counted. */
export async function createLogger({
  level,
  levels,
  pretty,
  descriptor = 1,
}: LoggerOptions): Promise<LoggerOf> {
  const options: pino.LoggerOptions = {
    level: 'trace',
    base: null,
    timestamp: createTimestamp(),
    serializers: { err: errorFields },
    formatters: { level: (label) => ({ level: label }) },
  }
  const output = openLogOutput({ descriptor, onDropped: tellDropped })
  const root = pino(options, pretty ? await prettyLines(output) : output)
  function tellDropped(lines: number): void {
    root.warn({ area: 'app', lines }, 'lines of the log were dropped: nobody read them in time')
  }
  return (area) => root.child({ area }, { level: levels[area] ?? level })
}

/** Made in this thread: pino's own way, a thread that writes, hangs at a terminal that takes nothing more. */
async function prettyLines(output: LogOutput): Promise<LogOutput> {
  const { prettyFactory } = await import('pino-pretty')
  const format = prettyFactory({
    ignore: 'area',
    messageFormat: '{area}: {msg}',
    singleLine: true,
  })
  return { write: (line) => output.write(format(line)) }
}

/** ISO 8601. Many lines share a millisecond, and making the text is a good part of a line's cost. */
function createTimestamp(): () => string {
  let at = 0
  let text = ''
  return () => {
    const now = Date.now()
    if (now !== at) {
      at = now
      text = `,"time":"${new Date(now).toISOString()}"`
    }
    return text
  }
}
