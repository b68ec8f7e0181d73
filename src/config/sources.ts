// Where settings come from, strongest first: command line, environment, `.env`, `config.yaml`.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { environmentNames, unknownKey } from './names.ts'
import type { SettingName } from './settings.ts'
import { readYaml } from './yaml-source.ts'

/** One value that one source gives for one setting, under the key it used. */
export interface Given {
  readonly name: SettingName
  readonly source: string
  /** How strong the source is: 0 beats 1. */
  readonly rank: number
  readonly key: string
  readonly text: string
}

export interface Sources {
  /** What each source gives, strongest source first. */
  readonly layers: readonly (readonly Given[])[]
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
}

/** Settings by name, from the command line. */
export type Overrides = Readonly<Partial<Record<SettingName, string | undefined>>>

export type Variables = Readonly<Record<string, string | undefined>>

export interface SourcesOptions {
  overrides: Overrides
  env: Variables
  /** The folder of `.env` and `config.yaml`; neither need exist. */
  cwd: string
}

/** Reads every source. Never throws: what cannot be read is a mistake. */
export function readSources({ overrides, env, cwd }: SourcesOptions): Sources {
  const mistakes: string[] = []
  const file = (name: string): string => {
    try {
      return readFileSync(join(cwd, name), 'utf8').replace(/^\uFEFF/, '')
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code !== 'ENOENT') mistakes.push(`${name} cannot be read: ${code}`)
      return ''
    }
  }

  const dotenv = parseEnv(file('.env'))
  const yaml = readYaml(file('config.yaml'), 'config.yaml')
  return {
    layers: [
      givenBy('command line', 0, overrides),
      givenBy('environment', 1, env),
      givenBy('.env', 2, dotenv),
      yaml.found.map((found) => ({ ...found, source: 'config.yaml', rank: 3 })),
    ],
    mistakes: [...mistakes, ...yaml.mistakes],
    warnings: [...unknownKeys('.env', dotenv), ...yaml.warnings],
  }
}

function unknownKeys(source: string, variables: Variables): string[] {
  return Object.keys(variables)
    .filter((key) => !environmentNames.has(key))
    .map((key) => unknownKey(source, key, environmentNames.keys()))
}

/** Goes by the known names: what else the environment holds is nobody's business. */
function givenBy(source: string, rank: number, variables: Variables): Given[] {
  return [...environmentNames].flatMap(([key, name]) => {
    const text = variables[key]
    return text === undefined ? [] : [{ name, source, rank, key, text }]
  })
}
