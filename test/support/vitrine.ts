// The command line as an operator has it: a process, its two outputs and its exit code.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface VitrineOptions {
  env?: Record<string, string>
  /** Written to its standard input, which ends after it. */
  input?: string | Buffer
  cwd?: string
}

/** Runs `vitrine <args>` until it ends. */
export async function vitrine(
  args: readonly string[],
  { env = {}, input = '', cwd }: VitrineOptions = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  })
  // A command that refuses its arguments never reads its input.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, stdout, stderr }
}
