// Where lines of the log go: written in the background, and never in the way of the service. Whoever
// stops reading loses lines, and is told how many once he reads again. (pino's own destination tries for
// ever when it is to be flushed at an exit into a pipe that nobody reads, or a disk that is full.)

import { constants, openSync, write, writeSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Lines are written together, at the latest after so long: one write each cost a seventh of a cached read. */
const FLUSH_MS = 50
const FLUSH_LENGTH = 16_384
/** Kept for a reader that is slow or has stopped: some 20,000 lines. */
const MAX_LENGTH = 4 * 1024 ** 2
/** Until a pipe that was full is tried again. */
const FULL_MS = 100

export interface LogOutputOptions {
  descriptor: 1 | 2
  /** Called when lines can be written again after some were dropped. */
  onDropped?(lines: number): void
}

export interface LogOutput {
  /** Never waits, never throws. */
  write(line: string): void
}

/**
 * What is kept is written when the process exits, unless it is killed, as far as that needs no waiting:
 * a process whose log nobody reads still ends.
 */
export function openLogOutput({ descriptor: given, onDropped }: LogOutputOptions): LogOutput {
  const descriptor = isatty(given) ? reopenTerminal(given) : given
  /** Not handed on yet. */
  let lines = ''
  /** What is being written. */
  let chunk = Buffer.alloc(0)
  let isUnderWay = false
  let isScheduled = false
  let dropped = 0

  const flush = () => {
    isScheduled = false
    if (chunk.length > 0 || lines === '') return
    chunk = Buffer.from(lines)
    lines = ''
    writeChunk()
  }
  const writeChunk = () => {
    isUnderWay = true
    write(descriptor, chunk, (error, written) => {
      isUnderWay = false
      if (isFull(error)) return void setTimeout(writeChunk, FULL_MS)
      // Nobody reads any more, or the disk is full: the next lines may fare better.
      chunk = error ? Buffer.alloc(0) : chunk.subarray(written)
      if (chunk.length > 0) return writeChunk()
      if (!error) tellDropped()
      flush()
    })
  }
  const schedule = () => {
    if (!isScheduled) setTimeout(flush, FLUSH_MS)
    isScheduled = true
  }
  const tellDropped = () => {
    const count = dropped
    dropped = 0
    if (count > 0) onDropped?.(count)
  }
  process.once('exit', () => {
    const rest = Buffer.from(lines)
    try {
      writeAtOnce(descriptor, isUnderWay ? rest : Buffer.concat([chunk, rest]))
    } catch {
      // Nobody reads, or there is no room: nobody can be told.
    }
  })
  return {
    write: (line) => {
      if (lines.length + chunk.length > MAX_LENGTH) return void dropped++
      lines += line
      if (lines.length >= FLUSH_LENGTH) flush()
      else schedule()
    },
  }
}

/**
 * A terminal that has stopped (Ctrl-S, a reader that sleeps) holds up whoever writes to it, and Node makes
 * its own descriptors wait. One of ours does not, and leaves theirs as they are.
 */
function reopenTerminal(descriptor: number): number {
  try {
    return openSync(
      `/proc/self/fd/${descriptor}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    )
  } catch {
    return descriptor // a system without such a path, or a terminal of another user
  }
}

function isFull(error: NodeJS.ErrnoException | null): boolean {
  return error?.code === 'EAGAIN'
}

function writeAtOnce(descriptor: number, text: Buffer): void {
  for (let rest = text; rest.length > 0; ) rest = rest.subarray(writeSync(descriptor, rest))
}
