// Walks over the files that have keys.

import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, storageFailed } from './filesystem-errors.ts'
import { contentTypeOfKey } from './keys.ts'
import { type ListedFile, STORAGE_KEY } from './storage.ts'

export async function* listFiles(root: string): AsyncGenerator<ListedFile> {
  try {
    yield* listFolder(root, '')
  } catch (error) {
    throw storageFailed('The files could not be listed', error)
  }
}

/** Names that no key has are passed by, with all that is below them; links are no files. */
async function* listFolder(root: string, prefix: string): AsyncGenerator<ListedFile> {
  for await (const entry of await opendir(join(root, prefix))) {
    const key = prefix + entry.name
    if (!STORAGE_KEY.test(key)) continue
    if (entry.isDirectory()) yield* listFolder(root, `${key}/`)
    else if (entry.isFile() && contentTypeOfKey(key) !== undefined) {
      const found = await lstat(join(root, key)).catch(unlessGone)
      if (found) yield { key, putAt: found.mtime }
    }
  }
}

function unlessGone(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error
}
