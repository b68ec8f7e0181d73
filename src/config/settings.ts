// Every setting of the service, once. Parsing, `vitrine config` and docs/configuration.md are made
// from this table; a setting that is not in it does not exist.

import { cacheSettings } from './cache-settings.ts'
import { databaseSettings } from './database-settings.ts'
import { kafkaSettings } from './kafka-settings.ts'
import { queueSettings } from './queue-settings.ts'
import { serviceSettings } from './service-settings.ts'
import type { Setting, SettingTable } from './setting.ts'
import { storageSettings } from './storage-settings.ts'
import type { ParsedBy } from './value-types.ts'
import {
  eventSettings,
  jobSettings,
  outboundSettings,
  pictureSettings,
  workerSettings,
} from './work-settings.ts'

export const settings = {
  ...serviceSettings,
  ...databaseSettings,
  ...storageSettings,
  ...queueSettings,
  ...kafkaSettings,
  ...jobSettings,
  ...workerSettings,
  ...outboundSettings,
  ...pictureSettings,
  ...cacheSettings,
  ...eventSettings,
} as const satisfies SettingTable

export type SettingName = keyof typeof settings

/** The groups in which people read the settings. */
export const settingGroups: readonly { title: string; names: readonly SettingName[] }[] = [
  { title: 'Service', names: namesOf(serviceSettings) },
  { title: 'Database', names: namesOf(databaseSettings) },
  { title: 'Storage', names: namesOf(storageSettings) },
  { title: 'Queue', names: namesOf({ ...queueSettings, ...kafkaSettings }) },
  { title: 'Jobs', names: namesOf(jobSettings) },
  { title: 'Worker', names: namesOf(workerSettings) },
  { title: 'Downloads', names: namesOf(outboundSettings) },
  { title: 'Pictures', names: namesOf(pictureSettings) },
  { title: 'Cache', names: namesOf(cacheSettings) },
  { title: 'Events', names: namesOf(eventSettings) },
]

export const settingNames: readonly SettingName[] = namesOf(settings)

/** What the sources say, parsed: undefined where nothing was said and the setting has no default. */
export type Values = {
  readonly [N in SettingName]:
    | ParsedBy<(typeof settings)[N]['type']>
    | ((typeof settings)[N] extends { default: string } ? never : undefined)
}

/** A row of the table with what rows have in common. */
export function settingOf(name: SettingName): Setting {
  return settings[name]
}

function namesOf<T extends SettingTable>(table: T): (keyof T & SettingName)[] {
  return Object.keys(table) as (keyof T & SettingName)[]
}
