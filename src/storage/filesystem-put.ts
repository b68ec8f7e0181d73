// A file appears under its key by a rename, after its bytes are on the disk, so a crash at any moment
// leaves a whole file or none. Symbolic links are never followed.

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, realpath, rename, rm, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasCode, storageFailed } from './filesystem-errors.ts'
import { assertThere, INCOMING } from './filesystem-root.ts'

export interface Put {
  key: string
  body: Uint8Array
  signal: AbortSignal | undefined
}

/** Throws the reason of `signal` when that is aborted, and `storage_failed`. */
export async function putFile(root: string, { key, body, signal }: Put): Promise<void> {
  const incoming = join(root, INCOMING, randomUUID())
  try {
    signal?.throwIfAborted()
    await writeDurably(incoming, body, signal)
    const folders = await makeFolders(root, key)
    signal?.throwIfAborted()
    await rename(incoming, join(root, key))
    // All of them, made here or not: who made one a moment ago may not have come to this line yet.
    await Promise.all(folders.map(syncFolder))
  } catch (error) {
    await rm(incoming, { force: true }).catch(() => {}) // the first failure is the one to tell
    if (signal?.aborted) throw signal.reason
    throw storageFailed('The file could not be stored', error)
  }
}

async function writeDurably(
  path: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using handle = await open(path, 'wx')
  await handle.writeFile(body, signal ? { signal } : {})
  await handle.sync()
}

/** The folders from the root down to the key's own; level by level, so that no link is passed. */
async function makeFolders(root: string, key: string): Promise<string[]> {
  const folders = [root]
  let folder = root
  for (const segment of key.split('/').slice(0, -1)) {
    folder = join(folder, segment)
    await makeOne(folder)
    folders.push(folder)
  }
  return folders
}

/** Never through a link. */
export async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !(await lstat(path)).isDirectory()) throw error
  }
}

async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  await handle.sync()
}

/** Empty folders stay: removing one could take it from under a put. */
export async function removeFile(root: string, key: string): Promise<void> {
  const path = join(root, key)
  try {
    if ((await realpath(dirname(path))) !== dirname(path)) return
    await unlink(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR'))
      throw storageFailed('The file could not be removed', error)
    await assertThere(root)
  }
}
