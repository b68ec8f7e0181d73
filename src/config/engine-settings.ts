// The settings that name an engine which this release does not have: catalogues of this kind are deployed
// with them, so they are accepted, that their files start unchanged, and warned about.

import type { Capability, SettingTable } from './setting.ts'
import { text } from './value-types.ts'

/** What does the work in this release; a sentence before "instead". */
export const worksInstead: Readonly<Record<Capability, string>> = {
  queue: 'RabbitMQ or the database itself wakes the workers',
}

export const engineSettings = {
  KAFKA_BROKERS: { type: text, unsupported: 'queue', description: 'Kafka: brokers.' },
} as const satisfies SettingTable
