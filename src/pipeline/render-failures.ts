// What went wrong in a picture child, told in codes: by libvips' text when the child survived, by the
// way it ended when it did not.

import { AppError } from '../errors.ts'

/** How a child ended. */
export interface ChildEnd {
  /** Why the parent killed it; undefined when it ended by itself, or by somebody else's hand. */
  killedFor: 'timeout' | 'abort' | 'violation' | 'disposal' | undefined
  code: number | null
  signal: NodeJS.Signals | null
  /** The last of what it wrote to stderr, or why it could not be spawned. */
  stderr: string
}

/** The child sends itself this when it grew over its limit (render-process.js). */
const memorySignal = 'SIGUSR2'

/** Over the whole text: libheif puts other lines first. A thread fails for want of memory for its stack. */
const outOfMemory =
  /out of memory|insufficient memory|memory allocation error|bad_alloc|failed to allocate|error creating thread/i
/** libheif says "memory allocation error" as well when a file makes claims that no honest one makes. */
const absurdClaim = /security limit exceeded: (?!allocating)/i
const unsupported = /has not been built in|unsupported (feature|codec)/i
const tooManyPixels = /exceeds pixel limit/i

/** What a text of libvips means. Its own words go into the cause only: they may name files of ours. */
export function failureOfText(text: string): AppError {
  const options = { cause: new Error(text) }
  if (outOfMemory.test(text) && !absurdClaim.test(text)) return outOfMemoryError(options)
  if (tooManyPixels.test(text)) {
    return new AppError('too_many_pixels', 'The picture has too many pixels.', options)
  }
  if (unsupported.test(text)) {
    return new AppError(
      'unsupported_format',
      'The picture is coded in a way that is not supported.',
      options,
    )
  }
  return new AppError('image_corrupt', 'The picture is damaged or incomplete.', options)
}

/** What the end of a child means for the picture it was working on. */
export function failureOfEnd(end: ChildEnd): AppError {
  const options = { cause: new Error(describeEnd(end)) }
  // The processor time that a child may use in its life counts as its deadline, too.
  if (end.killedFor === 'timeout' || end.signal === 'SIGXCPU') {
    return new AppError('render_timeout', 'Processing the picture took too long.', options)
  }
  if (end.signal === memorySignal || outOfMemory.test(end.stderr)) return outOfMemoryError(options)
  return new AppError('render_crashed', 'The process that decodes pictures broke off.', options)
}

/** One line for logs. */
export function describeEnd({ killedFor, code, signal, stderr }: ChildEnd): string {
  const how = killedFor ? `killed (${killedFor})` : (signal ?? `exit code ${code ?? 'unknown'}`)
  return stderr === '' ? how : `${how}: ${stderr.trim()}`
}

function outOfMemoryError(options: { cause: Error }): AppError {
  return new AppError('render_out_of_memory', 'Decoding the picture took too much memory.', options)
}
