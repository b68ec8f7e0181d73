// How the settings choose an engine: several of them may say where it is, and the strongest source counts.

import { describe, type Resolved } from './resolve.ts'
import type { SettingName } from './settings.ts'
import type { Given } from './sources.ts'

/** What the settings come to where there is an engine to choose. */
export interface Choice<C> {
  /** To be used only when there are no mistakes, here and in the settings. */
  readonly config: C
  /** Defaults that took effect. */
  readonly derived: Partial<Record<SettingName, string>>
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
}

/** What is found on the way to a choice. */
export interface Notes {
  readonly mistakes: string[]
  readonly warnings: string[]
}

export interface Places {
  /** Who is looked for, as in "says where Redis is". */
  readonly what: string
  /** The ways to say it, each by one setting or by several together. */
  readonly ways: readonly (readonly SettingName[])[]
  /** Whether another setting says the same as the one that is used, so that both may be there. */
  isSame(used: Given, other: Given): boolean
}

/** The strongest setting that says where it is; one of the same source that says it otherwise is a mistake. */
export function choosePlace(
  { given }: Resolved,
  { what, ways, isSame }: Places,
  { mistakes, warnings }: Notes,
): Given | undefined {
  const [used, ...others] = ways
    .flatMap((names) => names.flatMap((name) => given.get(name) ?? []).sort(byRank)[0] ?? [])
    .sort(byRank)
  for (const other of others) {
    if (!used || isSame(used, other)) continue
    if (used.rank === other.rank) {
      mistakes.push(
        `${describe(used)} and ${describe(other)} both say where ${what} is, and differ: keep one of them`,
      )
    } else {
      warnings.push(`${describe(other)} has no effect: ${describe(used)} says where ${what} is`)
    }
  }
  return used
}

/** What was set for an engine that is not used. */
export function unusedWarnings(
  { given }: Resolved,
  names: readonly SettingName[],
  why: string,
): string[] {
  const unused = names.flatMap((name) => given.get(name) ?? [])
  return unused.map((setting) => `${describe(setting)} has no effect: ${why}`)
}

function byRank(a: Given, b: Given): number {
  return a.rank - b.rank
}
