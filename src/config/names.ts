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

/** The warning about a key that names no setting, with the one that may have been meant. */
export function unknownKey(source: string, key: string, names: Names): string {
  // A line that was torn off a longer value stands here as a key too, and may be part of a secret.
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,39}$/.test(key)) {
    return `${source} has an entry whose name is not that of any setting; it is ignored`
  }
  const closest = closestName(key, names.keys())
  const question = closest === undefined ? '' : `; did you mean ${closest}?`
  return `${key} (${source}) is not a setting of Vitrine and is ignored${question}`
}
