// What holds for a storage whatever its engine: a call is checked before the engine gets it, none is taken
// after the end, and the end waits for the writes under way.

import { assertContentType, assertStorageKey } from './keys.ts'
import type { ByteRange, Storage, StoredFile } from './storage.ts'

/** The engine behind these checks: it may rely on keys and types, and its end comes after its last write. */
export function guardStorage(engine: Storage): Storage {
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
    ...engine,
    put: async (key, body, options) => {
      check(key)
      assertContentType(key, options.contentType)
      await track(engine.put(key, body, options))
    },
    open: async (key) => {
      check(key)
      const file = await engine.open(key)
      return file && guardFile(file)
    },
    remove: async (key) => {
      check(key)
      await track(engine.remove(key))
    },
    list: () => {
      checkOpen()
      return engine.list()
    },
    mark: async (id) => {
      checkOpen()
      await track(engine.mark(id))
    },
    marks: async () => {
      checkOpen()
      return await engine.marks()
    },
    ping: async () => {
      checkOpen()
      await engine.ping()
    },
    [Symbol.asyncDispose]: async () => {
      closed = true
      await Promise.allSettled(writes)
      await engine[Symbol.asyncDispose]()
    },
  }
}

function guardFile(file: StoredFile): StoredFile {
  return {
    ...file,
    read: (range) => {
      if (range) assertInside(range, file.size)
      return file.read(range)
    },
  }
}

function assertInside({ start, end }: ByteRange, size: number): void {
  const isWhole = Number.isSafeInteger(start) && Number.isSafeInteger(end)
  if (!isWhole || start < 0 || start > end || end >= size)
    throw new RangeError(`bytes ${start}–${end} are not inside a file of ${size}`)
}
