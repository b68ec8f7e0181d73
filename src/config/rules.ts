// What settings that are right by themselves may not say together.

import type { DatabaseConfig } from './database-config.ts'
import { describe, type Resolved } from './resolve.ts'
import { type SettingName, settingOf, type Values } from './settings.ts'

interface Rule {
  /** The settings that the rule is about, the one to change first. */
  readonly about: readonly [SettingName, ...SettingName[]]
  readonly holds: (values: Values) => boolean
  readonly says: string
}

/** What a picture child needs besides decoding: it starts with 36 MB, and has pixels to hand on. */
const CHILD_ITSELF_BYTES = 64 * 1024 ** 2

const rules: readonly Rule[] = [
  {
    about: ['JOB_HEARTBEAT', 'JOB_LEASE'],
    holds: (values) => values.JOB_HEARTBEAT * 2 <= values.JOB_LEASE,
    says: 'the heartbeat must be at most half of the lease, or one that comes late loses the job',
  },
  {
    about: ['JOB_TIMEOUT', 'OUTBOUND_TIMEOUT', 'PICTURE_RENDER_TIMEOUT'],
    holds: (values) =>
      values.JOB_TIMEOUT >= values.OUTBOUND_TIMEOUT + values.PICTURE_RENDER_TIMEOUT,
    says: 'an attempt must have time for its download and its rendering',
  },
  {
    about: ['JOB_MAX_AGE', 'JOB_TIMEOUT'],
    holds: (values) => values.JOB_MAX_AGE >= values.JOB_TIMEOUT,
    says: 'a job must be allowed to live for one attempt',
  },
  {
    about: ['OUTBOUND_CONNECT_TIMEOUT', 'OUTBOUND_TIMEOUT'],
    holds: (values) => values.OUTBOUND_CONNECT_TIMEOUT <= values.OUTBOUND_TIMEOUT,
    says: 'connecting is a part of the download and must not be given more time',
  },
  {
    about: ['PICTURE_CHILD_MEMORY', 'PICTURE_DECODE_MEMORY'],
    holds: (values) =>
      values.PICTURE_CHILD_MEMORY >= values.PICTURE_DECODE_MEMORY + CHILD_ITSELF_BYTES,
    says: 'a child needs 64MiB more than decoding does, or pictures that were let in would kill it',
  },
]

/** The mistakes of the combination. Rules about a setting that is wrong by itself are left out. */
export function brokenRules(resolved: Resolved, engine: DatabaseConfig['engine']): string[] {
  const { values, atFault } = resolved
  const broken = rules
    .filter(({ about, holds }) => !about.some((name) => atFault.has(name)) && !holds(values))
    .map(
      ({ about, says }) => `${about.map((name) => sayValue(name, resolved)).join(', ')}: ${says}`,
    )
  if (values.ROLE !== 'all' && engine === 'pglite') {
    broken.push(
      `${sayValue('ROLE', resolved)}: it needs PostgreSQL, set by DATABASE_URL or DB_HOST: the embedded database serves one process, with the role all`,
    )
  }
  return broken
}

/** Only for settings that are not secret. */
function sayValue(name: SettingName, { given }: Resolved): string {
  const chosen = given.get(name)
  return chosen
    ? `${describe(chosen)} is ${chosen.text}`
    : `${name} (default) is ${settingOf(name).default}`
}
