// Decides what counts when several sources speak, and parses it. The strongest source that mentions a
// setting wins, under whatever name; an empty value means the default, and so hides weaker sources.

import { isDeepStrictEqual } from 'node:util'
import { isRepeatable } from './masking.ts'
import type { Setting } from './setting.ts'
import { type SettingName, settingNames, settingOf, type Values } from './settings.ts'
import type { Given, Sources } from './sources.ts'

export interface Resolved {
  readonly values: Values
  /** The value that counts, for each setting that a source has set to something. */
  readonly given: ReadonlyMap<SettingName, Given>
  /** Settings whose value is a mistake; their place in `values` holds the default. */
  readonly atFault: ReadonlySet<SettingName>
  readonly mistakes: readonly string[]
}

/** Never throws. */
export function resolve({ layers }: Sources): Resolved {
  const values: Record<string, unknown> = {}
  const given = new Map<SettingName, Given>()
  const atFault = new Set<SettingName>()
  const mistakes: string[] = []

  for (const name of settingNames) {
    const setting = settingOf(name)
    const candidates = strongest(layers, setting, name)
    const chosen = candidates[0]
    if (chosen) given.set(name, chosen)
    const judged = chosen && judge(setting, chosen, candidates)
    if (judged?.mistake !== undefined) {
      mistakes.push(judged.mistake)
      atFault.add(name)
    }
    values[name] = judged?.value ?? (setting.default && setting.type.parse(setting.default))
  }
  // The table's own types say what each parser returns; one object cannot be built that way.
  return { values: values as Values, given, atFault, mistakes }
}

/** `DB_PASS (.env)`: the key as it was written, and where. */
export function describe({ key, source }: Given): string {
  return `${key} (${source})`
}

/** What the strongest source that mentions the setting says, under each of its names; without empty values. */
function strongest(
  layers: readonly (readonly Given[])[],
  setting: Setting,
  name: SettingName,
): Given[] {
  for (const layer of layers) {
    const mentions = layer.filter((given) => given.name === name)
    if (mentions.length === 0) continue
    // Spaces around a value are never meant; in a password they might be.
    const trimmed = mentions.map((given) =>
      setting.secret === 'whole' ? given : { ...given, text: given.text.trim() },
    )
    return trimmed.filter(({ text }) => text !== '')
  }
  return []
}

interface Judgement {
  value?: unknown
  mistake?: string
}

function judge(setting: Setting, chosen: Given, candidates: readonly Given[]): Judgement {
  const value = setting.type.parse(chosen.text)
  const rival = candidates.find(({ text }) => !isDeepStrictEqual(setting.type.parse(text), value))
  if (rival) {
    return {
      mistake: `${chosen.key} and ${rival.key} (${chosen.source}) are the same setting and differ: keep one of them`,
    }
  }
  return value === undefined ? { mistake: malformed(setting, chosen) } : { value }
}

function malformed(setting: Setting, given: Given): string {
  const shown = isRepeatable(given.text, setting) ? ` is ${quote(given.text)} but` : ''
  return `${describe(given)}${shown} must be ${setting.type.expects}`
}

/** At most 60 characters, visible on one line. */
function quote(value: string): string {
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
}
