// Chooses the adapter. Each is imported only when it is the one.

import type { FilesystemOptions } from './filesystem.ts'
import type { S3Options } from './s3.ts'
import type { Storage } from './storage.ts'

export type StorageOptions =
  | ({ kind: 'filesystem' } & FilesystemOptions)
  | ({ kind: 's3' } & S3Options)

/**
 * Throws `storage_failed` when the storage cannot be used at the moment, and an Error for the operator
 * when that will not change by itself.
 */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  switch (options.kind) {
    case 'filesystem':
      return await (await import('./filesystem.ts')).openFilesystem(options)
    case 's3':
      return await (await import('./s3.ts')).openS3(options)
  }
}
