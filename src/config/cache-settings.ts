// The settings of the cache: what is kept in memory, and where processes share more of it.

import { redisAddress, redisUrl } from './redis-address.ts'
import type { SettingTable } from './setting.ts'
import {
  duration,
  host,
  integer,
  isOneLine,
  path,
  size,
  text,
  type ValueType,
} from './value-types.ts'

const MiB = 1024 ** 2

const prefix: ValueType<string> = {
  name: 'text',
  expects: 'a text of at most 200 bytes on one line',
  parse: (value) => (isOneLine(value) && Buffer.byteLength(value) <= 200 ? value : undefined),
}

export const cacheSettings = {
  CACHE_SIZE: {
    type: size({ min: 0, max: 64 * 1024 * MiB }),
    default: '64MiB',
    description: 'Memory for ready answers, in each process.',
  },
  CACHE_MAX_STALE: {
    type: duration({ min: 0 }),
    default: '30s',
    description:
      'How long an answer from the cache may go on being served while the database is unreachable.',
  },
  CACHE_URL: {
    type: redisUrl,
    secret: 'url',
    description:
      'Redis or Valkey, as `redis://user:password@host:port/database`, or `rediss://…` with TLS: answers that are ready for all processes. Without it and without `REDIS_HOST` and `REDIS_ADDR` each process caches in its own memory alone.',
  },
  CACHE_PREFIX: {
    type: prefix,
    default: 'vitrine:',
    description:
      'What all keys in Redis begin with. Copies of one database that share a Redis need one each; other databases keep apart by themselves.',
  },
  REDIS_HOST: {
    type: host,
    derived: '`localhost`, once `REDIS_PORT` is set',
    yaml: 'redis.host',
    description: "Redis' host, for one that is reached without TLS; any other takes `CACHE_URL`.",
  },
  REDIS_PORT: {
    type: integer({ min: 1, max: 65_535 }),
    derived: '`6379`, once `REDIS_HOST` is set',
    yaml: 'redis.port',
    description: "Redis' port, beside `REDIS_HOST`.",
  },
  REDIS_ADDR: {
    type: redisAddress,
    description: "Redis' host and port in one.",
  },
  REDIS_PASSWORD: {
    type: text,
    secret: 'whole',
    description: "Redis' password, where no URL has one.",
  },
  REDIS_CA_FILE: {
    type: path,
    derived: 'the certificate authorities of Node.js',
    description:
      'With `rediss`: a file with the PEM certificates of the authorities to trust. Certificate and host name are always checked.',
  },
} as const satisfies SettingTable
