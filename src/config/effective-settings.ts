// The settings as they took effect, for people to read: what counts, and who said it. Secrets are
// masked here, so that nothing further on can show one.

import { masked } from './masking.ts'
import type { Resolved } from './resolve.ts'
import { type SettingName, settingNames, settingOf } from './settings.ts'

export interface EffectiveSetting {
  readonly name: SettingName
  /** The value as a source would write it, secrets masked; undefined when there is none. */
  readonly value: string | undefined
  /** `command line`, `environment`, `.env`, `config.yaml` or `default`. */
  readonly source: string
  /** The name or nested key under which the source has it; the setting's own name for a default. */
  readonly key: string
}

/** Every setting of the table, in its order. `derived` holds the defaults that depend on other settings. */
export function effectiveSettings(
  { given }: Resolved,
  derived: Partial<Record<SettingName, string>>,
): EffectiveSetting[] {
  return settingNames.map((name) => {
    const setting = settingOf(name)
    const chosen = given.get(name)
    if (!chosen) {
      const value = setting.default ?? derived[name]
      return { name, value, source: 'default', key: name }
    }
    const value = masked(chosen.text, setting)
    return { name, value, source: chosen.source, key: chosen.key }
  })
}
