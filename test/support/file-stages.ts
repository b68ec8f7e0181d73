// Stages that store small real files under the rows of the ledger's objects, without downloading
// anything: a picture's content follows from its URL.

import type { Database } from '../../src/database/database.ts'
import { findShared, reserve } from '../../src/pipeline/objects.ts'
import { presets } from '../../src/pipeline/presets.ts'
import type { Stages } from '../../src/pipeline/stages.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { rendered, rowStages, silent } from './picture-work.ts'

/** Called with each key before and after its file is put; may wait, or throw. */
export type PutHook = (moment: 'reserved' | 'put', key: string) => Promise<void> | void

/** As the real stages do it: a file that is there is shared, else one is reserved and put. */
export function fileStages(
  database: Database,
  storage: Pick<Storage, 'put' | 'open'>,
  hook: PutHook = () => {},
): Stages {
  const { db } = database
  const rows = rowStages(database)
  const image = {
    width: 10,
    height: 10,
    bytes: 100,
    format: 'jpeg',
    thumbhash: 'aGFzaA==',
  } as const
  return {
    begin: rows.begin,
    run: async ({ url, progress }) => {
      progress.enter('store')
      const picture = rendered(url)
      const files = { db, storage, log: silent }
      const shared = await findShared(files, picture.sourceSha256, presets)
      if (shared) return { image, objects: shared }
      const objects = await reserve(db, picture, presets)
      for (const { key, file } of objects) {
        await hook('reserved', key)
        await storage.put(key, file.body, { contentType: `image/${file.format}` })
        await hook('put', key)
      }
      return { image, objects }
    },
  }
}
