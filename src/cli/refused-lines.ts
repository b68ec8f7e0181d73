// The report of the lines that an import refused: all of them counted by their reason, as many as a
// person or a disk can take in detail.

import { type BigIntStats, closeSync, openSync, statSync, writeSync } from 'node:fs'
import type { AppError } from '../errors.ts'

/** On the terminal; whoever needs more wants a file. */
const SHOWN_LINES = 20
/** Of a file: some 20 MB. A file in which more is wrong is another file than was meant. */
const KEPT_LINES = 100_000

export interface RefusedLines extends Disposable {
  add(line: number, reason: AppError): void
  /** How many lines each reason refused; a line with several mistakes counts for each of them. */
  readonly reasons: ReadonlyMap<string, number>
}

export interface RefusedLinesOptions {
  /** What is read. As large numbers: inodes of some file systems are told apart by nothing else. */
  input: BigIntStats
  /** Whether lines before were refused by an import that went up to here: they stay in the file. */
  goesOn: boolean
  show(text: string): void
}

/**
 * Writes each refused line as a line of JSON to `file`, or as a sentence through `show`. Throws at once
 * when the file cannot be written, or is the input.
 */
export function openRefusedLines(
  file: string | undefined,
  { input, goesOn, show }: RefusedLinesOptions,
): RefusedLines {
  if (file !== undefined && isSameFile(file, input)) throw new Error('it is the input')
  const descriptor = file === undefined ? undefined : openSync(file, goesOn ? 'a' : 'w')
  const reasons = new Map<string, number>()
  let count = 0
  const write = (line: number, reason: AppError) => {
    if (descriptor !== undefined)
      writeSync(descriptor, `${JSON.stringify(recordOf(line, reason))}\n`)
    else show(`line ${line}: ${sentenceOf(reason)}`)
  }
  const limit = descriptor === undefined ? SHOWN_LINES : KEPT_LINES
  return {
    reasons,
    add: (line, reason) => {
      for (const name of reasonsOf(reason)) reasons.set(name, (reasons.get(name) ?? 0) + 1)
      if (++count <= limit) write(line, reason)
      else if (count === limit + 1) show(`line ${line} and further refused lines are only counted`)
    },
    [Symbol.dispose]: () => {
      if (descriptor !== undefined) closeSync(descriptor)
    },
  }
}

function isSameFile(path: string, input: BigIntStats): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return input.isFile() && found?.dev === input.dev && found.ino === input.ino
}

function recordOf(line: number, { code, message, errors }: AppError): object {
  return { line, code, detail: message, errors }
}

function sentenceOf({ message, errors }: AppError): string {
  if (errors.length === 0) return message
  return errors.map(({ pointer, detail }) => `${pointer || 'the line'} ${detail}`).join('; ')
}

/** Field and rule; all pictures of a product are one field. */
function reasonsOf({ code, errors }: AppError): Set<string> {
  if (errors.length === 0) return new Set([code])
  return new Set(
    errors.map(({ pointer, code: rule }) => `${pointer.replace(/\/\d+$/, '/*')} ${rule}`.trim()),
  )
}
