// Chooses the adapter. Each is imported only when it is the one.

import type { FilesystemOptions } from './filesystem.ts'
import type { Storage } from './storage.ts'

export type StorageOptions = { kind: 'filesystem' } & FilesystemOptions

/** Throws `storage_failed` when the storage cannot be used at all. */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  switch (options.kind) {
    case 'filesystem':
      return await (await import('./filesystem.ts')).openFilesystem(options)
  }
}
