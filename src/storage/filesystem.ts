// Files in a folder, one per key. A file appears under its key by a rename, after its bytes are on the
// disk, so a crash at any moment leaves a whole file or none. Symbolic links below the folder are
// never followed; the folder itself may be one. A key can not be the folder of another key.

import { randomUUID } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  realpath,
  rename,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { AppError } from '../errors.ts'
import { makeFolder } from '../lib/make-folder.ts'
import { assertContentType, assertStorageKey, contentTypeOfKey } from './keys.ts'
import {
  type ByteRange,
  type ListedFile,
  MEDIA_PATH,
  STORAGE_KEY,
  type Storage,
  type StoredFile,
} from './storage.ts'

export interface FilesystemOptions {
  /** Made when it is not there. Any number of processes may share it. */
  directory: string
}

/** No key starts with a dot, so nothing in here can be reached by one. */
const INCOMING = '.incoming'
/** No put takes this long: what is older was left by a process that was killed. */
const LEFTOVER_AGE_MS = 3_600_000
const PING_TIMEOUT_MS = 2_000
const CHUNK_BYTES = 64 * 1024

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
  const writes = new Set<Promise<void>>()
  let closed = false

  const checkOpen = () => {
    if (closed) throw new Error('the storage is closed')
  }
  const check = (key: string) => {
    assertStorageKey(key)
    checkOpen()
  }
  const track = async (write: Promise<void>) => {
    writes.add(write)
    try {
      await write
    } finally {
      writes.delete(write)
    }
  }

  return {
    put: async (key, body, { contentType, signal }) => {
      check(key)
      assertContentType(key, contentType)
      await track(putFile(root, { key, body, signal }))
    },
    open: async (key) => {
      check(key)
      return await statFile(root, key)
    },
    remove: async (key) => {
      check(key)
      await track(removeFile(root, key))
    },
    list: () => {
      checkOpen()
      return listFiles(root)
    },
    urlPrefix: MEDIA_PATH,
    ping: async () => {
      checkOpen()
      await ping(root)
    },
    [Symbol.asyncDispose]: async () => {
      closed = true
      await Promise.allSettled(writes)
    },
  }
}

interface Put {
  key: string
  body: Uint8Array
  signal: AbortSignal | undefined
}

async function putFile(root: string, { key, body, signal }: Put): Promise<void> {
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

async function makeOne(path: string): Promise<void> {
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

async function statFile(root: string, key: string): Promise<StoredFile | undefined> {
  const contentType = contentTypeOfKey(key)
  if (contentType === undefined) return undefined
  const path = join(root, key)
  try {
    // A link anywhere on the way gives another real path.
    if ((await realpath(path)) !== path) return undefined
    const found = await lstat(path)
    if (!found.isFile()) return undefined
    return { size: found.size, contentType, read: (range) => readRange(path, found, range) }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw storageFailed('The file could not be looked up', error)
  }
}

function readRange(path: string, found: Stats, range?: ByteRange): AsyncIterable<Uint8Array> {
  const { start, end } = range ?? { start: 0, end: found.size - 1 }
  const inside = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0
  if (range && !(inside && start <= end && end < found.size))
    throw new RangeError(`bytes ${start}–${end} are not inside a file of ${found.size}`)
  return readChunks(path, found, { start, end })
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

/** Empty folders stay: removing one could take it from under a put. */
async function removeFile(root: string, key: string): Promise<void> {
  const path = join(root, key)
  try {
    if ((await realpath(dirname(path))) !== dirname(path)) return
    await unlink(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR')) return
    throw storageFailed('The file could not be removed', error)
  }
}

async function* listFiles(root: string): AsyncGenerator<ListedFile> {
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

async function ping(root: string): Promise<void> {
  const path = join(root, INCOMING, `ping-${randomUUID()}`)
  // On a full disk the file is made and cannot be written: it goes all the same.
  const write = writeFile(path, 'ping', { flag: 'wx' }).finally(() => rm(path, { force: true }))
  await withDeadline(write, PING_TIMEOUT_MS).catch((error) => {
    throw storageFailed('Files can not be written', error)
  })
}

/** A call into a file system that hangs (a network mount) can not be cancelled, only left behind. */
async function withDeadline(work: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = () =>
    reject(new AppError('storage_failed', `The storage did not answer within ${timeoutMs} ms.`))
  const timer = setTimeout(late, timeoutMs)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

async function removeLeftovers(incoming: string): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name)
    const found = await lstat(path).catch(() => undefined) // another process may be clearing up too
    if (found && Date.now() - found.mtimeMs > LEFTOVER_AGE_MS) await rm(path, { force: true })
  }
}

/** What the operating system refused becomes `storage_failed`; anything else is thrown on as it is. */
function storageFailed(message: string, cause: unknown): unknown {
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

function hasCode(error: unknown, ...codes: string[]): boolean {
  return isSystemError(error) && codes.includes(error.code ?? '')
}
