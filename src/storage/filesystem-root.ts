// The folder that the storage was opened with, and whether it is there.

import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { storageFailed } from './filesystem-errors.ts'

/** Where files are written before they are renamed. No key starts with a dot, so nothing in here can be reached by one. */
export const INCOMING = '.incoming'

/** A disk that is not mounted has no files either, but none of them is lost. Throws `storage_failed`. */
export async function assertThere(root: string): Promise<void> {
  try {
    await access(join(root, INCOMING))
  } catch (error) {
    throw storageFailed('The storage is away', error)
  }
}
