// The settings that name an engine which this release does not have: an explicit choice of it is refused, and
// the names that catalogues of this kind are deployed with are accepted, so that their files start
// unchanged, and warned about.

import type { Capability, Setting, SettingTable } from './setting.ts'
import { text } from './value-types.ts'

interface MissingEngine {
  /** What does the work in this release; a sentence before "instead". */
  readonly instead: string
  /** The engines by the schemes of their URLs. */
  readonly schemes: Readonly<Record<string, string>>
}

export const missingEngines: Readonly<Record<Capability, MissingEngine>> = {
  queue: {
    instead: 'RabbitMQ or the database itself wakes the workers',
    schemes: { kafka: 'Kafka' },
  },
  cache: {
    instead: 'each process caches in its own memory',
    schemes: { redis: 'Redis', rediss: 'Redis', valkey: 'Valkey', valkeys: 'Valkey' },
  },
}

type Row = Omit<Setting<string>, 'type' | 'unsupported' | 'description'>

const unused = (capability: Capability, description: string, row: Row = {}) => ({
  type: text,
  unsupported: { capability, outcome: 'unused' } as const,
  description,
  ...row,
})

const refused = (capability: Capability, description: string) => ({
  type: text,
  secret: 'url' as const,
  unsupported: { capability, outcome: 'refused' } as const,
  description,
})

const SECRET: Row = { secret: 'whole' }

export const engineSettings = {
  KAFKA_BROKERS: unused('queue', 'Kafka: brokers.'),
  CACHE_URL: refused('cache', 'The cache.'),
  REDIS_HOST: unused('cache', 'Redis: host.', { yaml: 'redis.host' }),
  REDIS_PORT: unused('cache', 'Redis: port.', { yaml: 'redis.port' }),
  REDIS_ADDR: unused('cache', 'Redis: host and port.'),
  REDIS_PASSWORD: unused('cache', 'Redis: password.', SECRET),
} as const satisfies SettingTable
