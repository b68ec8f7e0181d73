// Files in a folder, one per key. Symbolic links below the folder are never followed; the folder itself
// may be one. A key can not be the folder of another key.

import { randomUUID } from 'node:crypto'
import { lstat, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { withDeadline } from '../lib/deadline.ts'
import { makeFolder } from '../lib/make-folder.ts'
import { storageFailed } from './filesystem-errors.ts'
import { listFiles } from './filesystem-list.ts'
import { makeOne, putFile, removeFile } from './filesystem-put.ts'
import { statFile } from './filesystem-read.ts'
import { INCOMING } from './filesystem-root.ts'
import { guardStorage } from './guard.ts'
import { MARK_TEXT, markIds, markName } from './keys.ts'
import { MEDIA_PATH, type Storage } from './storage.ts'

export interface FilesystemOptions {
  /** Made when it is not there. Any number of processes may share it. */
  directory: string
}

/** No put takes this long: what is older was left by a process that was killed. */
const LEFTOVER_AGE_MS = 3_600_000
/** Health checks wait for 800 ms. */
const PING_TIMEOUT_MS = 700

/** Makes the folder where there is none, and removes what killed processes left half-written. */
export async function openFilesystem({ directory }: FilesystemOptions): Promise<Storage> {
  try {
    await makeFolder(resolve(directory))
    const root = await realpath(directory)
    await makeOne(join(root, INCOMING))
    await removeLeftovers(join(root, INCOMING))
    return createFilesystem(root)
  } catch (error) {
    throw storageFailed(`The storage folder ${directory} could not be opened`, error)
  }
}

function createFilesystem(root: string): Storage {
  return guardStorage({
    put: (key, body, { signal }) => putFile(root, { key, body, signal }),
    open: (key) => statFile(root, key),
    remove: (key) => removeFile(root, key),
    list: () => listFiles(root),
    mark: (id) => putFile(root, { key: markName(id), body: MARK_TEXT, signal: undefined }),
    marks: () => findMarks(root),
    urlPrefix: MEDIA_PATH,
    place: root,
    ping: () => ping(root),
    [Symbol.asyncDispose]: async () => {},
  })
}

async function findMarks(root: string): Promise<string[]> {
  try {
    return markIds(await readdir(root))
  } catch (error) {
    throw storageFailed('The marks of the store could not be looked up', error)
  }
}

async function ping(root: string): Promise<void> {
  const path = join(root, INCOMING, `ping-${randomUUID()}`)
  // On a full disk the file is made and cannot be written: it goes all the same.
  const write = writeFile(path, 'ping', { flag: 'wx' }).finally(() => rm(path, { force: true }))
  // A call into a file system that hangs (a network mount) can not be cancelled, only left behind.
  await withDeadline(write, PING_TIMEOUT_MS, late).catch((error) => {
    throw storageFailed('Files can not be written', error)
  })
}

function late(): AppError {
  return new AppError('storage_failed', `The storage did not answer within ${PING_TIMEOUT_MS} ms.`)
}

async function removeLeftovers(incoming: string): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name)
    const found = await lstat(path).catch(() => undefined) // another process may be clearing up too
    if (found && Date.now() - found.mtimeMs > LEFTOVER_AGE_MS) await rm(path, { force: true })
  }
}
