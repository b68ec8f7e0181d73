// Files of certificate authorities, read when the settings are: a missing one is a mistake of the settings.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Notes } from './choice.ts'
import { describe, type Resolved } from './resolve.ts'
import type { SettingName } from './settings.ts'

/** TLS with a server whose certificate and host name are checked. */
export interface CheckedTls {
  /** In PEM. Without it the authorities of Node.js are trusted. */
  readonly ca?: string
}

export interface TlsAsked {
  isTls: boolean
  /** Who is reached by it. */
  what: string
  cwd: string
  notes: Notes
}

/** TLS with the authorities that the setting names; false without TLS, which has no use for any. */
export function chooseTls(
  name: Extract<SettingName, `${string}_CA_FILE`>,
  { values, given }: Resolved,
  { isTls, what, cwd, notes }: TlsAsked,
): false | CheckedTls {
  const file = values[name]
  if (isTls)
    return file === undefined ? {} : { ca: readCertificates(name, file, { cwd, ...notes }) }
  const unused = given.get(name)
  if (unused)
    notes.warnings.push(`${describe(unused)} has no effect, because ${what} is reached without TLS`)
  return false
}

/** The file's content. When it cannot be used, that is added to the mistakes. */
export function readCertificates(
  name: SettingName,
  file: string,
  { cwd, mistakes }: { cwd: string; mistakes: string[] },
): string {
  let problem = 'it holds none'
  try {
    const pem = readFileSync(resolve(cwd, file), 'utf8')
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem
  } catch (error) {
    problem = String((error as NodeJS.ErrnoException).code)
  }
  mistakes.push(`${name} must name a file of PEM certificates: ${problem}`)
  return ''
}
