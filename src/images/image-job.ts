// The kind of job that processes a picture, one per image for life, and what its row carries.

import { type Static, Type } from 'typebox'
import { defineJob, type JobDefinition } from '../jobs/job.ts'

const payload = Type.Object({
  imageId: Type.String({ format: 'uuid' }),
  productId: Type.String({ format: 'uuid' }),
  sourceUrl: Type.String(),
  /** Of the request that asked for the picture, for the log lines of its attempts. */
  requestId: Type.String(),
})

export type ImageJobPayload = Static<typeof payload>
export type ImageJobDefinition = JobDefinition<typeof payload>

/** `maxAttempts` tries, of `timeoutMs` each at most. */
export function defineImageJob(bounds: {
  maxAttempts: number
  timeoutMs: number
}): ImageJobDefinition {
  return defineJob({
    name: 'image.process',
    keyField: 'image_id',
    subject: { product_id: 'productId' },
    payload,
    ...bounds,
  })
}
