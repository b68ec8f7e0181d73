// The pictures of a product: what clients may see and ask of them.

import { v7 as uuidv7 } from 'uuid'
import type { Database, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { makeDueNow, redrive } from '../jobs/redrive.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Images, RequestContext } from './image.ts'
import type { ImageJobDefinition, ImageJobPayload } from './image-job.ts'
import { requeue } from './image-moves.ts'
import { selectAttempts, selectImage, selectImagesOfProduct } from './image-store.ts'
import type { MediaUrls } from './media-urls.ts'
import { lockProduct } from './product-change.ts'

export interface ImagesOptions {
  database: Database
  mediaUrls: MediaUrls
  job: ImageJobDefinition
  /** Called after a picture's change was committed and before it is answered. */
  onChanged(productId: string): Promise<void>
}

export function createImages({ database, mediaUrls, job, onChanged }: ImagesOptions): Images {
  const { db } = database
  const find = async (imageId: string) => {
    const found = isUuid(imageId) ? await selectImage(db, imageId) : undefined
    return found ?? notFound('image')
  }
  return {
    ofProduct: async (productId) => {
      const images = isUuid(productId) ? await selectImagesOfProduct(db, productId) : undefined
      return (images ?? notFound('product')).map(mediaUrls.present)
    },
    read: async (imageId) => mediaUrls.present((await find(imageId)).image),
    attempts: async (imageId) => {
      const attempts = isUuid(imageId) ? await selectAttempts(db, imageId) : undefined
      return attempts ?? notFound('image')
    },
    retry: async (imageId, context) => {
      const { image, productId, userId } = await find(imageId)
      const payload = {
        imageId: image.id,
        productId,
        sourceUrl: image.source_url,
        requestId: context.requestId,
      }
      await database.transaction((tx) => retry(tx, { job, payload, lane: userId, context }))
      database.signals.send('jobs')
      database.signals.send('events')
      await onChanged(productId)
      return mediaUrls.present((await find(imageId)).image)
    },
  }
}

interface Retry {
  job: ImageJobDefinition
  payload: ImageJobPayload
  lane: string
  context: RequestContext
}

/** The job's row is taken first: product before job deadlocks with claims. */
async function retry(tx: Tx, { job, payload, lane, context }: Retry): Promise<void> {
  const { imageId, productId } = payload
  const redriven = await redrive(tx, {
    id: uuidv7(),
    name: job.name,
    key: imageId,
    payload,
    lane,
    maxAttempts: job.maxAttempts,
    trace: context.traceparent,
  })
  if (!redriven && !(await makeDueNow(tx, job.name, imageId))) {
    throw new AppError(
      'conflict',
      'The picture is being processed right now; retry it once it is settled.',
    )
  }
  const isThere =
    (await lockProduct(tx, productId)) &&
    (await requeue(tx, { imageId, productId, fresh: redriven !== undefined }))
  if (!isThere) notFound('image')
}

function notFound(what: 'image' | 'product'): never {
  throw new AppError('not_found', `There is no such ${what}.`)
}
