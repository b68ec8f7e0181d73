// `vitrine config`: every setting as it took effect and where it came from. The values arrive with
// their secrets masked already.

import type { EffectiveSetting } from '../config/effective-settings.ts'
import { settingGroups } from '../config/settings.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'
import { overridesOf, settingOptions } from './setting-options.ts'

export const configCommand = defineCommand({
  name: 'config',
  summary: 'print every setting, its value and where it came from',
  options: {
    ...settingOptions,
    json: { type: 'boolean', description: 'for machines: print JSON' },
  },
  run: async ({ values }) => {
    const { settings } = loadSettings({ overrides: overridesOf(values) })
    process.stdout.write(values.json ? renderSettingsJson(settings) : renderSettingsTable(settings))
    return 0
  },
})

const NAME_WIDTH = 26
const VALUE_WIDTH = 37

/** A table in groups, at most 100 columns wide. */
export function renderSettingsTable(settings: readonly EffectiveSetting[]): string {
  const byName = new Map(settings.map((setting) => [setting.name, setting]))
  const groups = settingGroups.map(({ title, names }) =>
    [title, ...names.flatMap((name) => rows(byName.get(name)))].join('\n'),
  )
  return `${groups.join('\n\n')}\n`
}

/** `{ "PORT": { "value": "8080", "source": "default", … }, … }`; `value` is null where there is none. */
export function renderSettingsJson(settings: readonly EffectiveSetting[]): string {
  const entries = settings.map(({ name, value = null, source, key }) => [
    name,
    { value, source, key },
  ])
  return `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`
}

/** One row, and one more for each further piece of a long value. */
function rows(setting: EffectiveSetting | undefined): string[] {
  if (!setting) return []
  const [first = '-', ...further] = setting.value?.match(piecesOfValue) ?? []
  const head = `  ${setting.name.padEnd(NAME_WIDTH)}${first.padEnd(VALUE_WIDTH)}  ${origin(setting)}`
  return [head, ...further.map((piece) => `  ${' '.repeat(NAME_WIDTH)}${piece}`)]
}

const piecesOfValue = new RegExp(`.{1,${VALUE_WIDTH}}`, 'gsu')

/** The source, with the key it used where that is another name. */
function origin({ name, source, key }: EffectiveSetting): string {
  return key.toUpperCase() === name ? source : `${source}: ${key}`
}
