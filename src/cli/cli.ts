// What an operator types. Commands print their result to standard output, mistakes to standard error.
// Exit codes: 0 done, 1 failed, 2 called or configured wrongly.

import packageJson from '../../package.json' with { type: 'json' }
import { ConfigError } from '../config/config-error.ts'
import { type Command, columns, isUsageError, usageError } from './command.ts'
import { configCommand } from './config-command.ts'
import { eventsRestartCommand } from './events-command.ts'
import { printWarnings } from './load-settings.ts'
import { migrateCommand } from './migrate-command.ts'
import { productsExportCommand } from './products-export-command.ts'
import { productsImportCommand } from './products-import-command.ts'
import { serveCommand } from './serve-command.ts'
import { storageAdoptCommand } from './storage-adopt-command.ts'
import { storageSweepCommand } from './storage-command.ts'

const commands: readonly Command[] = [
  serveCommand,
  migrateCommand,
  configCommand,
  productsImportCommand,
  productsExportCommand,
  storageSweepCommand,
  storageAdoptCommand,
  eventsRestartCommand,
]

/**
 * Runs one command line, without the program's own name, until it is done or the signal stops it. Resolves to the
 * exit code; never rejects.
 */
export async function runCli(args: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    return await run(args, signal)
  } catch (error) {
    // Often the cause of the mistake: a name that is not quite that of a setting.
    if (error instanceof ConfigError) printWarnings(error.warnings)
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return isUsageError(error) ? 2 : 1
  }
}

async function run(args: readonly string[], signal: AbortSignal): Promise<number> {
  const command = commandNamed(args)
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    process.stdout.write(command?.help ?? overview(args))
    return 0
  }
  if (command) return await command.run(args.slice(command.name.split(' ').length), signal)
  if (args[0] === '--version') {
    process.stdout.write(`${packageJson.version}\n`)
    return 0
  }
  if (args.length > 0) throw usageError(`there is no command ${wordsOf(args).join(' ') || args[0]}`)
  process.stderr.write(overview(args))
  return 2
}

function commandNamed(args: readonly string[]): Command | undefined {
  return commands.find(({ name }) => name.split(' ').every((word, at) => word === args[at]))
}

/** The list of commands; of a group when its word is given. */
function overview(args: readonly string[]): string {
  const [group] = wordsOf(args)
  const ofGroup = commands.filter(({ name }) => name.startsWith(`${group} `))
  const shown = ofGroup.length > 0 ? ofGroup : commands
  const rows = shown.map(({ name, summary }) => [name, summary] as const)
  return `Vitrine: a product catalogue whose pictures are processed in the background.

Usage: vitrine <command> [options]

Commands
${columns(rows)}

\`vitrine <command> --help\` tells the options of each; \`vitrine --version\` the version.
Settings come from options, the environment, .env and config.yaml, in this order;
docs/configuration.md lists them. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
`
}

/** What stands before the first option. */
function wordsOf(args: readonly string[]): readonly string[] {
  const end = args.findIndex((arg) => arg.startsWith('-'))
  return end < 0 ? args : args.slice(0, end)
}
