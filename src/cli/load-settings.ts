// The settings of a command whose result has standard output to itself.

import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/config.ts'

/** As `loadConfig`, and tells its warnings on standard error. */
export function loadSettings(options?: LoadOptions): LoadedConfig {
  const loaded = loadConfig(options)
  printWarnings(loaded.warnings)
  return loaded
}

export function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
}
