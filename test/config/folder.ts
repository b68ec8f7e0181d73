// A working folder with the files that a test gives it, and what loading settings there says.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../src/config/config.ts'
import { ConfigError } from '../../src/config/config-error.ts'

export interface Folder extends Disposable {
  path: string
  /** Loads with an empty environment unless the options give one. */
  load(options?: LoadOptions): LoadedConfig
  /** The error of a load that fails; any other outcome is thrown. */
  refused(options?: LoadOptions): ConfigError
}

/** File contents by name: `{ '.env': 'PORT=1' }`. */
export function folderWith(files: Record<string, string> = {}): Folder {
  const path = mkdtempSync(join(tmpdir(), 'vitrine-config-'))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  const load = (options: LoadOptions = {}) => loadConfig({ env: {}, cwd: path, ...options })
  const refused = (options?: LoadOptions) => {
    try {
      load(options)
    } catch (error) {
      if (error instanceof ConfigError) return error
      throw error
    }
    throw new Error('the settings were accepted')
  }
  return { path, load, refused, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

/** What loading this environment in a folder of its own gives. */
export function load(env: Record<string, string>, files?: Record<string, string>): LoadedConfig {
  using folder = folderWith(files)
  return folder.load({ env })
}

/** For what this environment is refused in an empty folder. */
export function mistakes(env: Record<string, string>): readonly string[] {
  using folder = folderWith()
  return folder.refused({ env }).mistakes
}

/** As much of a certificate as is looked at. */
export const PEM = '-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n'
