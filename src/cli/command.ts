// What a command of `vitrine` is: a row of the table in cli.ts that knows its options, its help and
// how to run.

import { parseArgs } from 'node:util'
import { ConfigError } from '../config/config-error.ts'

interface CommandOption {
  readonly type: 'string' | 'boolean'
  /** What stands for a string's value in the help: `FILE`. */
  readonly value?: string
  readonly description: string
}

export type CommandOptions = Readonly<Record<string, CommandOption>>

type ValuesOf<O extends CommandOptions> = {
  [N in keyof O]?: O[N]['type'] extends 'boolean' ? boolean : string
}

export interface CommandDefinition<O extends CommandOptions> {
  /** As it is typed, of one word or two: `products import`. */
  name: string
  /** One line, for the list of commands. */
  summary: string
  /** The one argument of a command that takes one; it must be given. */
  argument?: { name: string; description: string }
  options: O
  /** Paragraphs of the help, after the options. */
  details?: string
  /**
   * Prints its result to standard output, mistakes to standard error. Resolves to the exit code; an
   * Error that it throws is for the operator. `argument` is empty for a command without one. `signal` is
   * aborted when the process is to stop: nothing else ends a command that has begun.
   */
  run(invocation: { values: ValuesOf<O>; argument: string; signal: AbortSignal }): Promise<number>
}

export interface Command {
  readonly name: string
  readonly summary: string
  readonly help: string
  /** Resolves to the exit code. Throws a usage error for arguments that it does not take. */
  run(args: readonly string[], signal: AbortSignal): Promise<number>
}

export function defineCommand<const O extends CommandOptions>(
  definition: CommandDefinition<O>,
): Command {
  const { name, summary, options } = definition
  return {
    name,
    summary,
    help: helpOf(definition),
    run: async (args, signal) => {
      const { values, positionals } = parseArgs({
        args: [...args],
        options,
        allowPositionals: true,
      })
      return await definition.run({
        values: values as ValuesOf<O>,
        argument: argumentOf(definition, positionals),
        signal,
      })
    },
  }
}

function argumentOf(
  { name, argument }: Pick<CommandDefinition<CommandOptions>, 'name' | 'argument'>,
  given: readonly string[],
): string {
  const [first, ...extra] = argument ? given : ['', ...given]
  if (first === undefined) throw usageError(`${argument?.name} is missing`, name)
  if (extra[0] !== undefined) throw usageError(`unexpected argument: ${extra[0]}`, name)
  return first
}

function helpOf({ name, summary, argument, options, details }: CommandDefinition<CommandOptions>) {
  const rows: [left: string, right: string][] = Object.entries(options).map(([option, spec]) => [
    spec.type === 'string' ? `--${option} ${spec.value ?? 'VALUE'}` : `--${option}`,
    spec.description,
  ])
  if (argument) rows.unshift([argument.name, argument.description])
  rows.push(['--help', 'this text'])
  const usage = `Usage: vitrine ${name} [options]${argument ? ` ${argument.name}` : ''}`
  return `${[`${sentence(summary)}\n\n${usage}`, columns(rows), details]
    .filter((part) => part !== undefined)
    .join('\n\n')}\n`
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

/** Two columns, the left one as wide as it must be. */
export function columns(rows: readonly (readonly [left: string, right: string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n')
}

const USAGE = 'ERR_VITRINE_USAGE'

/** What was typed cannot be meant. `command` is whose help tells how it is done. */
export function usageError(message: string, command = ''): Error {
  const help = command === '' ? 'vitrine --help' : `vitrine ${command} --help`
  return Object.assign(new Error(`${message}; see ${help}`), { code: USAGE })
}

/** Whether the operator called or configured wrongly: exit code 2. */
export function isUsageError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return (
    error instanceof ConfigError ||
    code === USAGE ||
    (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS'))
  )
}
