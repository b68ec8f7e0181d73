// The settings that name an engine which this release does not have: an explicit choice of it is refused, and
// the names that catalogues of this kind are deployed with are accepted, so that their files start
// unchanged, and warned about.

import type { Capability, SettingTable } from './setting.ts'
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
}

const unused = (capability: Capability, description: string) => ({
  type: text,
  unsupported: { capability, outcome: 'unused' } as const,
  description,
})

export const engineSettings = {
  KAFKA_BROKERS: unused('queue', 'Kafka: brokers.'),
} as const satisfies SettingTable
