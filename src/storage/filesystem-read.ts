// A stored file is what was found under its key: no link, and not one that took its name since.

import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.ts'
import { hasCode, storageFailed } from './filesystem-errors.ts'
import { assertThere } from './filesystem-root.ts'
import { contentTypeOfKey } from './keys.ts'
import type { ByteRange, StoredFile } from './storage.ts'

const CHUNK_BYTES = 64 * 1024

/** Undefined when there is none. Throws when the folder of all files is away. */
export async function statFile(root: string, key: string): Promise<StoredFile | undefined> {
  const contentType = contentTypeOfKey(key)
  if (contentType === undefined) return undefined
  const path = join(root, key)
  try {
    // A link anywhere on the way gives another real path.
    if ((await realpath(path)) !== path) return undefined
    const found = await lstat(path)
    if (!found.isFile()) return undefined
    const { size } = found
    const whole = { start: 0, end: size - 1 }
    return { size, contentType, read: (range = whole) => readChunks(path, found, range) }
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP'))
      throw storageFailed('The file could not be looked up', error)
    await assertThere(root)
    return undefined
  }
}

/** Holds a handle only while it is iterated; leaving the loop early closes it too. */
async function* readChunks(
  path: string,
  found: Stats,
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array> {
  try {
    await using handle = await openSame(path, found)
    for (let at = start; at <= end; ) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at + 1))
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, at)
      if (bytesRead === 0) throw new AppError('storage_failed', 'The stored file ends too early.')
      yield chunk.subarray(0, bytesRead)
      at += bytesRead
    }
  } catch (error) {
    throw storageFailed('The file could not be read', error)
  }
}

/** The file that was found, not one that took its name since: sizes that were told must stay true. */
async function openSame(path: string, found: Stats): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const { ino, mtimeMs } = await handle.stat()
  if (ino === found.ino && mtimeMs === found.mtimeMs) return handle
  await handle.close()
  throw new AppError('storage_failed', 'The stored file was replaced while it was read.')
}
