// What an operator types. Commands print their result to standard output, mistakes to standard error.
// Exit codes: 0 done, 1 failed, 2 called or configured wrongly.

import { parseArgs } from 'node:util'
import { loadConfig } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { renderSettingsJson, renderSettingsTable } from './config-command.ts'
import { migrateDatabase } from './migrate-command.ts'
import { serve } from './serve-command.ts'

const HELP = `Vitrine: a product catalogue whose pictures are processed in the background.

Usage: vitrine <command> [options]

Commands
  serve     run the service (npm start)
  migrate   bring the database's schema up to date (npm run migrate)
  config    print every setting, its value and where it came from

Options
  --role api|worker|all   what this process does          (ROLE)
  --host ADDRESS          where the API listens           (HOST)
  --port PORT             and on which port               (PORT)
  --json                  for machines: config prints JSON
  --help                  this text

Settings come from options, the environment, .env and config.yaml, in this order;
docs/configuration.md lists them. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
`

const options = {
  role: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Runs one command line, without the program's own name. Resolves to the exit code; never rejects. */
export async function runCli(args: readonly string[]): Promise<number> {
  try {
    return await run(args)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return isUsageError(error) ? 2 : 1
  }
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const [command, ...extra] = positionals
  if (values.help || command === undefined) {
    process.stdout.write(HELP)
    return command === undefined && !values.help ? 2 : 0
  }
  if (extra.length > 0) throw usageError(`unexpected argument: ${extra[0]}`)
  const load = () =>
    loadConfig({ overrides: { ROLE: values.role, HOST: values.host, PORT: values.port } })
  switch (command) {
    case 'serve':
      return await serve(load())
    case 'migrate':
      process.stdout.write(await migrateDatabase(load()))
      return 0
    case 'config': {
      const { settings } = load()
      process.stdout.write(
        values.json ? renderSettingsJson(settings) : renderSettingsTable(settings),
      )
      return 0
    }
    default:
      throw usageError(`there is no command ${command}`)
  }
}

const USAGE = 'ERR_VITRINE_USAGE'

function usageError(message: string): Error {
  return Object.assign(new Error(`${message}; see vitrine --help`), { code: USAGE })
}

function isUsageError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return (
    error instanceof ConfigError ||
    code === USAGE ||
    (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS'))
  )
}
