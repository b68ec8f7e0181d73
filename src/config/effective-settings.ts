// The settings as they took effect, for people to read: what counts, and who said it. Secrets are
// masked here, so that nothing further on can show one.

import type { Resolved } from './resolve.ts'
import type { Setting } from './setting.ts'
import { type SettingName, settingNames, settingOf } from './settings.ts'

export interface EffectiveSetting {
  readonly name: SettingName
  /** The value as a source would write it, secrets masked; undefined when there is none. */
  readonly value: string | undefined
  /** `command line`, `environment`, `.env`, `config.yaml` or `default`. */
  readonly source: string
  /** The name or nested key under which the source has it; the setting's own name for a default. */
  readonly key: string
  /** False for a setting that was accepted and does nothing in this release. */
  readonly hasEffect: boolean
}

const MASK = '********'

/** Every setting of the table, in its order. `derived` holds the defaults that depend on other settings. */
export function effectiveSettings(
  { given }: Resolved,
  derived: Partial<Record<SettingName, string>>,
): EffectiveSetting[] {
  return settingNames.map((name) => {
    const setting = settingOf(name)
    const hasEffect = setting.unsupported === undefined
    const chosen = given.get(name)
    if (!chosen) {
      const value = setting.default ?? derived[name]
      return { name, value, source: 'default', key: name, hasEffect }
    }
    const value = mask(chosen.text, setting)
    return { name, value, source: chosen.source, key: chosen.key, hasEffect }
  })
}

/** Parameters may hold passwords as well, so of a URL only scheme, user, host and path are left. */
function mask(text: string, { secret }: Setting): string {
  if (secret === undefined) return text
  const url = secret === 'url' ? URL.parse(text) : null
  if (!url?.host) return MASK
  const user = url.username && `${url.username}${url.password && `:${MASK}`}@`
  const parameters = url.search && `?${MASK}`
  return `${url.protocol}//${user}${url.host}${url.pathname}${parameters}`
}
