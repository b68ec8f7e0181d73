// Pictures to be run again: an origin whose contents change between runs, and attempts that fail as told.

import assert from 'node:assert/strict'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { createPictureWork, freshUrls, type PictureWork, rowStages } from './picture-work.ts'

export const final = new AppError('not_an_image', 'The file is no picture.')
export const patient = new AppError('origin_rate_limited', 'The origin answered 429.', {
  retryAfterMs: 600_000,
})

export interface RetryWork extends Omit<PictureWork, 'post'> {
  /** Of pictures that no other test posts, in their first edition. */
  post(count: number): Promise<{ id: string; imageIds: string[] }>
  /** From now on the origin serves other contents. */
  serveSecondEdition(): void
  /** The next attempt fails so. */
  failBy(imageId: string, error: AppError): ReturnType<PictureWork['fail']>
}

export function createRetryWork(database: Database): RetryWork {
  let edition = 'first'
  const stages = rowStages(database, { contentOf: (url) => `${url} ${edition}` })
  const work = createPictureWork({ database, stages })
  return {
    ...work,
    post: async (count) => {
      edition = 'first'
      const { id, images } = await work.post(freshUrls(count))
      return { id, imageIds: images.map((image) => image.id) }
    },
    serveSecondEdition: () => {
      edition = 'second'
    },
    failBy: async (imageId, error) => {
      const job = await work.claim(imageId)
      assert.ok(job)
      return await work.fail(job, error)
    },
  }
}
