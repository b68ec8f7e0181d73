// The settings of the process itself: where it listens, what it runs, how it starts, stops and logs.

import { logAreas, logLevels } from '../lib/log-levels.ts'
import type { SettingTable } from './setting.ts'
import {
  boolean,
  choicePerArea,
  duration,
  host,
  integer,
  oneOf,
  origins,
  path,
  publicUrl,
} from './value-types.ts'

const YEAR_MS = 365 * 24 * 60 * 60_000

export const roles = ['api', 'worker', 'all'] as const

export const serviceSettings = {
  ROLE: {
    type: oneOf(roles),
    default: 'all',
    description:
      'What this process does: answer requests (`api`), process pictures (`worker`), or both (`all`). `api` and `worker` need PostgreSQL, because the embedded database serves one process.',
  },
  HOST: {
    type: host,
    derived: '`127.0.0.1` with the embedded database, else `0.0.0.0`',
    yaml: 'server.host',
    description: 'The address to listen on.',
  },
  PORT: {
    type: integer({ min: 0, max: 65_535 }),
    default: '8080',
    yaml: 'server.port',
    description: 'The port to listen on; `0` takes any free one.',
  },
  PUBLIC_URL: {
    type: publicUrl,
    derived: '`http://localhost:<port>`',
    secret: 'url',
    description:
      'The address under which clients reach the service; links to pictures start with it. A path in it stands before all others that clients are given, and the proxy that serves it has to take it off.',
  },
  CORS_ORIGINS: {
    type: origins,
    derived: 'none',
    description:
      'The web pages that browsers let read the answers of the API, by their origins; `*` for all pages.',
  },
  DATA_DIR: {
    type: path,
    default: './data',
    description: 'The folder of everything embedded: the database and the rendered files.',
  },
  MIGRATE_ON_START: {
    type: boolean,
    default: 'true',
    description:
      'Whether a start brings the database schema up to date; else it is done by the `migrate` command.',
  },
  START_TIMEOUT: {
    type: duration(),
    default: '30s',
    description:
      'How long a start waits for the database, for its schema where `MIGRATE_ON_START` is `false`, and for the bucket, before it gives up. It does not wait for a broker or a Redis: `/readyz` answers 503 until they are there.',
  },
  SHUTDOWN_TIMEOUT: {
    type: duration(),
    default: '25s',
    description:
      'How long running work may take to finish after SIGTERM before it is handed back. Below the 30 s after which Kubernetes kills. With PostgreSQL, new connections are taken for a tenth of it, while `/readyz` answers 503.',
  },
  IDEMPOTENCY_KEEP: {
    type: duration({ min: 1_000, max: YEAR_MS }),
    default: '24h',
    description:
      'How long the `Idempotency-Key` of a creation is remembered: a repeat within it creates nothing.',
  },
  LOG_LEVEL: {
    type: oneOf(logLevels),
    default: 'info',
    description: 'The least severe messages that are logged.',
  },
  LOG_LEVELS: {
    type: choicePerArea(logAreas, logLevels),
    description: `Levels of single areas that differ from \`LOG_LEVEL\`, such as \`pipeline=debug,http=warn\`. The areas are ${logAreas.join(', ')}.`,
  },
} as const satisfies SettingTable
