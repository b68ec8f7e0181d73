// Fills the disk below the folder it is given through the storage, and prints how that ended as JSON.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../../src/errors.ts'
import { openStorage } from '../../src/storage/open.ts'

const directory = process.argv[2] ?? ''
const jpeg = { contentType: 'image/jpeg' }
await using storage = await openStorage({ kind: 'filesystem', directory })
await storage.put('first.jpg', Buffer.alloc(600_000), jpeg)
const error = await storage.put('second.jpg', Buffer.alloc(600_000), jpeg).catch((error) => error)
const leftovers = await readdir(join(directory, '.incoming'))
await storage.remove('first.jpg')
await storage.put('second.jpg', Buffer.alloc(600_000), jpeg)
console.log(
  JSON.stringify({
    code: error instanceof AppError ? error.code : undefined,
    message: error.message,
    cause: error.cause?.code,
    leftovers,
    afterwards: (await storage.open('second.jpg')) ? 'stored' : 'missing',
  }),
)
