// What a setting is: a row of the table that parsing, `vitrine config` and the documentation share.

import type { ValueType } from './value-types.ts'

export interface Setting<T = unknown> {
  readonly type: ValueType<T>
  /** What a number counts, where the type does not say it. */
  readonly unit?: string
  /** The value without any source, written as a source would write it. */
  readonly default?: string
  /** Where the default comes from when it is not the same everywhere. */
  readonly derived?: string
  /** Other names of the same setting, in the environment and `.env`. */
  readonly aliases?: readonly string[]
  /** Its nested key in `config.yaml`, beside its own name. */
  readonly yaml?: string
  /** Never shown: a password altogether, or in a URL what is not the address. */
  readonly secret?: 'whole' | 'url'
  readonly description: string
}

export type SettingTable = Readonly<Record<string, Setting>>
