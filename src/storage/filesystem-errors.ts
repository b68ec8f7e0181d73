// What the file system refuses, in words that are safe to show to anybody.

import { AppError } from '../errors.ts'

/** What the operating system refused becomes `storage_failed`; anything else is thrown on as it is. */
export function storageFailed(message: string, cause: unknown): unknown {
  if (!isSystemError(cause)) return cause
  const why = reasons[cause.code ?? '']
  return new AppError('storage_failed', why ? `${message}: ${why}.` : `${message}.`, { cause })
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the disk is read-only',
  ENOENT: 'there is no such folder',
  EEXIST: 'something else is in its place',
  EMFILE: 'too many files are open',
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}

export function hasCode(error: unknown, ...codes: string[]): boolean {
  return isSystemError(error) && codes.includes(error.code ?? '')
}
