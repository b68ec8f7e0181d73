// A process that stores files until it is killed; each number is printed once its file is stored.

import { openStorage, type StorageOptions } from '../../src/storage/open.ts'

const { options, prefix, bytes } = JSON.parse(process.argv[2] ?? '') as {
  options: StorageOptions
  prefix: string
  bytes: number
}
const storage = await openStorage(options)
for (let n = 0; ; n++) {
  await storage.put(`${prefix}/${n}.jpg`, Buffer.alloc(bytes, n), { contentType: 'image/jpeg' })
  process.stdout.write(`${n}\n`)
}
