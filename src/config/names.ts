// Under which names a setting is found: in the environment and `.env` its own and its aliases, in
// `config.yaml` the same in any case, and nested keys such as `database.host`.

import { closestName } from './closest-name.ts'
import { type SettingName, settingNames, settingOf } from './settings.ts'

export type Names = ReadonlyMap<string, SettingName>

export const environmentNames: Names = new Map(
  settingNames.flatMap((name) => [
    [name, name] as const,
    ...(settingOf(name).aliases ?? []).map((alias) => [alias, name] as const),
  ]),
)

/** Keys of config.yaml, in lower case. */
export const yamlKeys: Names = new Map([
  ...[...environmentNames].map(([key, name]) => [key.toLowerCase(), name] as const),
  ...settingNames.flatMap((name) => {
    const { yaml } = settingOf(name)
    return yaml === undefined ? [] : [[yaml, name] as const]
  }),
])

/** The first parts of nested keys: `database`, `server` … */
export const yamlGroups: ReadonlySet<string> = new Set(
  [...yamlKeys.keys()].filter((key) => key.includes('.')).map((key) => key.replace(/\..*/, '')),
)

/** What a key of config.yaml may have been meant to be: a key, or the start of a nested one. */
export const yamlWords: readonly string[] = [...yamlKeys.keys(), ...yamlGroups]

/**
 * Says that a key names no setting, and which of the candidates may have been meant. Repeats only keys
 * that are nearly one of them or look like names: a line torn off a secret of several lines is a key as well.
 */
export function unknownKey(source: string, key: string, candidates: Iterable<string>): string {
  const closest = isWord(key) ? closestName(key, candidates) : undefined
  if (closest === undefined && !looksLikeName(key)) {
    return `${source} has an entry whose name is not that of a setting`
  }
  const question = closest === undefined ? '' : `; did you mean ${closest}?`
  return `${key} (${source}) is not a setting${question}`
}

function isWord(key: string): boolean {
  return key.length <= 60 && /^[\w.-]+$/.test(key)
}

/** Of one case, as names are; Base64, in which keys are kept, mixes them. A group that is known may be in any. */
function looksLikeName(key: string): boolean {
  const dot = key.indexOf('.')
  const isGrouped = dot > 0 && yamlGroups.has(key.slice(0, dot).toLowerCase())
  const own = isGrouped ? key.slice(dot + 1) : key
  return isWord(key) && /^(?:[A-Z][A-Z0-9_]*|[a-z][a-z0-9_.-]*)$/.test(own)
}
