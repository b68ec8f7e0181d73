// Settings that may be given as options: they beat the environment and the files.

import type { CommandOptions } from './command.ts'

export const settingOptions = {
  role: { type: 'string', value: 'api|worker|all', description: 'what this process does (ROLE)' },
  host: { type: 'string', value: 'ADDRESS', description: 'where the API listens (HOST)' },
  port: { type: 'string', value: 'PORT', description: 'and on which port (PORT)' },
} as const satisfies CommandOptions

/** As `loadConfig` takes them. */
export function overridesOf(values: { role?: string; host?: string; port?: string }) {
  return { ROLE: values.role, HOST: values.host, PORT: values.port }
}
