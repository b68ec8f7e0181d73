// The pictures of a product: what clients may see and ask of them.

import { v7 as uuidv7 } from 'uuid'
import type { Database, Tx } from '../database/database.ts'
import { AppError } from '../errors.ts'
import { makeDueNow, type NewJob, redrive, redriveAll } from '../jobs/redrive.ts'
import { isUuid } from '../lib/uuid.ts'
import type { Images, RequestContext } from './image.ts'
import type { ImageJobDefinition, ImageJobPayload } from './image-job.ts'
import { requeue } from './image-moves.ts'
import {
  type StoredImage,
  selectAttempts,
  selectImage,
  selectImagesOfProduct,
} from './image-store.ts'
import type { MediaUrls } from './media-urls.ts'
import { lockProduct } from './product-change.ts'

export interface ImagesOptions {
  database: Database
  mediaUrls: MediaUrls
  job: ImageJobDefinition
  /** Called after a picture's change was committed and before it is answered. */
  onChanged(productId: string): Promise<void>
}

/** A retry rings for its jobs and its events once it is committed. */
export function createImages({ database, mediaUrls, job, onChanged }: ImagesOptions): Images {
  const { db, signals } = database
  const find = async (imageId: string) => {
    const found = isUuid(imageId) ? await selectImage(db, imageId) : undefined
    return found ?? notFound('image')
  }
  const tell = async (productId: string) => {
    signals.send('jobs')
    signals.send('events')
    await onChanged(productId)
  }
  return {
    ofProduct: async (productId) => {
      const found = isUuid(productId) ? await selectImagesOfProduct(db, productId) : undefined
      return (found ?? notFound('product')).images.map(mediaUrls.present)
    },
    read: async (imageId) => mediaUrls.present((await find(imageId)).image),
    attempts: async (imageId) => {
      const attempts = isUuid(imageId) ? await selectAttempts(db, imageId) : undefined
      return attempts ?? notFound('image')
    },
    retry: async (imageId, context) => {
      const { image, productId, userId } = await find(imageId)
      const again = jobOf(image, { job, productId, userId, context })
      await database.transaction((tx) => retry(tx, productId, again))
      await tell(productId)
      return mediaUrls.present((await find(imageId)).image)
    },
    retryOfProduct: async (id, context) => {
      if (!isUuid(id)) notFound('product')
      // PostgreSQL takes a UUID in any case; jobs and caches know the product by one spelling.
      const productId = id.toLowerCase()
      const images = await database.transaction((tx) =>
        retryOfProduct(tx, { job, productId, context }),
      )
      await tell(productId)
      return images.map(mediaUrls.present)
    },
  }
}

interface Demand {
  job: ImageJobDefinition
  productId: string
  context: RequestContext
}

/** The job that runs this picture, as it is asked for now. */
function jobOf(
  image: StoredImage,
  { job, productId, userId, context }: Demand & { userId: string },
): NewJob {
  const payload: ImageJobPayload = {
    imageId: image.id,
    productId,
    sourceUrl: image.source_url,
    requestId: context.requestId,
  }
  return {
    id: uuidv7(),
    name: job.name,
    key: image.id,
    payload,
    lane: userId,
    maxAttempts: job.maxAttempts,
    trace: context.traceparent,
  }
}

/** The job's row is taken first: product before job deadlocks with claims. */
async function retry(tx: Tx, productId: string, again: NewJob): Promise<void> {
  const redriven = await redrive(tx, again)
  if (!redriven && !(await makeDueNow(tx, again.name, again.key))) {
    throw new AppError(
      'conflict',
      'The picture is being processed right now; retry it once it is settled.',
    )
  }
  const isThere =
    (await lockProduct(tx, productId)) &&
    (await requeue(tx, { imageIds: [again.key], productId, fresh: redriven !== undefined }))
  if (!isThere) notFound('image')
}

/** The rows of all jobs are taken first, as that of one is. */
async function retryOfProduct(tx: Tx, demand: Demand): Promise<StoredImage[]> {
  const { productId } = demand
  const { images, userId } = (await selectImagesOfProduct(tx, productId)) ?? notFound('product')
  if (images.length === 0) throw new AppError('conflict', 'The product has no pictures.')
  const again = whatRunsAgain(images).map((image) => jobOf(image, { ...demand, userId }))
  // Fewer than asked for, when a worker or another client was faster.
  const imageIds = await redriveAll(tx, again)
  if (!(await lockProduct(tx, productId))) notFound('product')
  if (!(await requeue(tx, { imageIds, productId, fresh: true }))) {
    throw new AppError(
      'conflict',
      'The product has no picture that could run again: those that it has are under way.',
    )
  }
  return (await selectImagesOfProduct(tx, productId))?.images ?? notFound('product')
}

/** What is not well comes first: as long as there is any, results that are there are left in peace. */
function whatRunsAgain(images: readonly StoredImage[]): StoredImage[] {
  const unwell = images.filter(({ status }) => status === 'failed' || status === 'retry_scheduled')
  return unwell.length > 0 ? unwell : images.filter(({ status }) => status === 'ready')
}

function notFound(what: 'image' | 'product'): never {
  throw new AppError('not_found', `There is no such ${what}.`)
}
