// Structured logs: pretty on a terminal, JSON lines else. Each area of the code has its own level.

import pino from 'pino'

export type Logger = pino.Logger
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export interface LoggerOptions {
  level: LogLevel
  /** Levels of single areas, by area: `{ pipeline: 'debug' }`. */
  levels: Readonly<Record<string, LogLevel>>
  pretty: boolean
}

/** Gives the logger of an area (`http`, `jobs`, `pipeline` …). */
export type LoggerOf = (area: string) => Logger

export function createLogger({ level, levels, pretty }: LoggerOptions): LoggerOf {
  const root = pino({
    level: 'trace',
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    ...(pretty
      ? {
          transport: {
            target: 'pino-pretty',
            options: { ignore: 'area', messageFormat: '{area}: {msg}' },
          },
        }
      : {}),
  })
  return (area) => root.child({ area }, { level: levels[area] ?? level })
}
