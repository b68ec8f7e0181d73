// The filesystem adapter: the port's contract, and what only a folder can do.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { isAppError } from '../../src/errors.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { noSmallDisk, runOnSmallDisk } from '../support/small-disk.ts'
import { describeStorage, describeStorageOutage } from './storage.ts'

const jpeg = { contentType: 'image/jpeg' }
const bytes = Buffer.from('bytes')
const noProc = process.platform === 'linux' ? false : 'needs /proc'

describeStorage('filesystem', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-storage-'))
  return {
    options: { kind: 'filesystem', directory: join(directory, 'objects') },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
})

describeStorageOutage('filesystem', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-storage-'))
  const directory = join(parent, 'objects')
  return {
    options: { kind: 'filesystem', directory },
    // A file where the folder was: nobody can write below that, root neither.
    takeAway: async () => {
      await rename(directory, `${directory}.away`)
      await writeFile(directory, '')
    },
    bringBack: async () => {
      await rm(directory)
      await rename(`${directory}.away`, directory)
    },
    [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }),
  }
})

describe('the filesystem storage', () => {
  let parent: string
  let directory: string
  let storage: Storage
  const inside = (path: string) => join(directory, path)
  const reopen = () => openStorage({ kind: 'filesystem', directory })

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'vitrine-storage-'))
    directory = join(parent, 'objects')
    storage = await reopen()
  })
  afterEach(async () => {
    await storage[Symbol.asyncDispose]()
    await rm(parent, { recursive: true, force: true })
  })

  test('a list has what was put, not what else lies in the folder', async () => {
    await storage.put('renditions/3f/a.jpg', bytes, jpeg)
    await mkdir(inside('renditions/.hidden'))
    const foreign = ['readme.txt', 'no-extension', '.DS_Store.jpg', 'renditions/.hidden/a.jpg']
    for (const name of [...foreign, 'renditions/white space.jpg', '.incoming/left.jpg'])
      await writeFile(inside(name), bytes)
    await mkdir(join(parent, 'outside'))
    await writeFile(join(parent, 'outside', 'b.jpg'), bytes)
    await symlink(join(parent, 'outside'), inside('link'))
    await symlink(join(parent, 'outside', 'b.jpg'), inside('link.jpg'))
    const listed = await Array.fromAsync(storage.list())
    assert.deepEqual(
      listed.map(({ key }) => key),
      ['renditions/3f/a.jpg'],
    )
  })

  test('a file lies where its key says, and its URL is below /media/', async () => {
    await storage.put('renditions/3f/a.jpg', bytes, jpeg)
    assert.deepEqual(await readFile(inside('renditions/3f/a.jpg')), bytes)
    assert.equal(storage.urlPrefix, '/media/')
  })

  test('nothing temporary is left by put, abort, failure or ping', async () => {
    await storage.put('a.jpg', bytes, jpeg)
    await storage.ping()
    const controller = new AbortController()
    const aborted = storage.put('b.jpg', Buffer.alloc(5_000_000), {
      ...jpeg,
      signal: controller.signal,
    })
    controller.abort()
    await assert.rejects(aborted)
    await assert.rejects(storage.put('a.jpg/c.jpg', bytes, jpeg))
    assert.deepEqual(await readdir(inside('.incoming')), [])
  })

  test('what a killed process left is removed at the next start once it is an hour old', async () => {
    await writeFile(inside('.incoming/old'), 'part')
    await writeFile(inside('.incoming/new'), 'part')
    const over = new Date(Date.now() - 3_601_000)
    await utimes(inside('.incoming/old'), over, over)
    await using _ = await reopen()
    assert.deepEqual(await readdir(inside('.incoming')), ['new'])
  })

  test('the folder itself may be a link', async () => {
    const link = join(parent, 'link')
    await symlink(directory, link)
    await using linked = await openStorage({ kind: 'filesystem', directory: link })
    await linked.put('a/b.jpg', bytes, jpeg)
    assert.equal((await storage.open('a/b.jpg'))?.size, bytes.length)
  })

  test('a link below the folder is no file: not read, not written through, not removed through', async () => {
    const outside = join(parent, 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'secret.jpg'), 'secret')
    await symlink(outside, inside('way'))
    await symlink(join(outside, 'secret.jpg'), inside('secret.jpg'))
    assert.equal(await storage.open('way/secret.jpg'), undefined)
    assert.equal(await storage.open('secret.jpg'), undefined)
    await assert.rejects(storage.put('way/new.jpg', bytes, jpeg), isStorageFailed)
    await assert.rejects(storage.put('way/deeper/new.jpg', bytes, jpeg), isStorageFailed)
    await storage.remove('way/secret.jpg')
    await storage.put('secret.jpg', bytes, jpeg)
    assert.deepEqual(await readdir(outside), ['secret.jpg'])
    assert.equal(await readFile(join(outside, 'secret.jpg'), 'utf8'), 'secret')
    assert.deepEqual(await readFile(inside('secret.jpg')), bytes)
  })

  test('a file swapped for a link between open and read is not followed', async () => {
    await writeFile(join(parent, 'secret.jpg'), 'secret')
    await storage.put('a.jpg', bytes, jpeg)
    const file = await storage.open('a.jpg')
    await rm(inside('a.jpg'))
    await symlink(join(parent, 'secret.jpg'), inside('a.jpg'))
    assert.ok(file)
    await assert.rejects(Array.fromAsync(file.read()), isStorageFailed)
  })

  test('a named pipe is no file, and nobody waits for its writer', async () => {
    execFileSync('mkfifo', [inside('pipe.jpg')])
    assert.equal(await storage.open('pipe.jpg'), undefined)
  })

  test('handles are closed after a whole read, a range, an early end and an error', {
    skip: noProc,
  }, async () => {
    await storage.put('a.jpg', Buffer.alloc(1_000_000), jpeg)
    const file = await storage.open('a.jpg')
    assert.ok(file)
    await Array.fromAsync(file.read())
    await Array.fromAsync(file.read({ start: 5, end: 99_999 }))
    for await (const _ of file.read()) break
    const thrown = new Error('the reader failed')
    const failing = async () => {
      for await (const _ of file.read()) throw thrown
    }
    await assert.rejects(failing(), thrown)
    await storage.put('a.jpg', bytes, jpeg)
    await assert.rejects(Array.fromAsync(file.read()), isStorageFailed)
    assert.deepEqual(await openFilesBelow(directory), [])
  })

  test('a file that grew shorter ends in an error, not in silence', async () => {
    await storage.put('a.jpg', Buffer.alloc(200_000), jpeg)
    const file = await storage.open('a.jpg')
    assert.ok(file)
    const reading = (async () => {
      for await (const _ of file.read()) await writeFile(inside('a.jpg'), '')
    })()
    await assert.rejects(reading, isStorageFailed)
  })

  test('a folder that cannot be used fails at the start and names itself', async () => {
    const taken = join(parent, 'taken')
    await writeFile(taken, '')
    await assert.rejects(
      openStorage({ kind: 'filesystem', directory: taken }),
      (error) => isStorageFailed(error) && String(error).includes(taken),
    )
  })

  test('a disk that is not mounted any more is away, with all its files', async () => {
    await storage.put('a.jpg', bytes, jpeg)
    await rename(directory, `${directory}.away`)
    await mkdir(directory)
    const error = { code: 'storage_failed', message: /^The storage is away: / }
    await assert.rejects(storage.open('a.jpg'), error)
    await assert.rejects(storage.remove('a.jpg'), error)
    await rm(directory, { recursive: true })
    await rename(`${directory}.away`, directory)
    assert.ok(await storage.open('a.jpg'))
  })

  test('ping fails with its cause when nothing can be written', async () => {
    await rm(inside('.incoming'), { recursive: true })
    await assert.rejects(
      storage.ping(),
      (error) => isStorageFailed(error) && codeOf(error) === 'ENOENT',
    )
  })

  test('a failure of the disk keeps its cause', async () => {
    await writeFile(inside('a'), '')
    await assert.rejects(
      storage.put('a/b.jpg', bytes, jpeg),
      (error) => isStorageFailed(error) && codeOf(error) === 'EEXIST',
    )
  })

  test('a full disk is storage_failed, leaves nothing, and is over when there is room again', {
    skip: noSmallDisk(),
  }, async () => {
    const script = new URL('../support/storage-full-disk.ts', import.meta.url)
    const stdout = await runOnSmallDisk(script, { directory, mebibytes: 1 })
    assert.deepEqual(JSON.parse(stdout), {
      code: 'storage_failed',
      message: 'The file could not be stored: the disk is full.',
      cause: 'ENOSPC',
      leftovers: [],
      afterwards: 'stored',
    })
  })
})

function isStorageFailed(error: unknown): boolean {
  return isAppError(error, 'storage_failed')
}

function codeOf(error: unknown): string | undefined {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code
}

async function openFilesBelow(directory: string): Promise<string[]> {
  const handles = await readdir('/proc/self/fd')
  const targets = await Promise.all(
    handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')),
  )
  return targets.filter((target) => target.startsWith(directory))
}
