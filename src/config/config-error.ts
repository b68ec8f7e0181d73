// The one failure of reading settings: everything that is wrong, at once, in sentences for whoever
// wrote the settings. No sentence contains a secret or a part of one.

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** One sentence per mistake: the setting, where its value came from, what would be right. */
  readonly mistakes: readonly string[]
  /** What would have been warned about: often the cause of a mistake. */
  readonly warnings: readonly string[]

  constructor(mistakes: readonly string[], warnings: readonly string[]) {
    super(['The configuration is not valid:', ...mistakes].join('\n  '))
    this.mistakes = mistakes
    this.warnings = warnings
  }
}
