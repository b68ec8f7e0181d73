// Files of certificate authorities, read when the settings are: a missing one is a mistake of the settings.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { SettingName } from './settings.ts'

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
