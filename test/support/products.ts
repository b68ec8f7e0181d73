// Products for tests that start below the HTTP layer.

import type { ImageStatus, RequestContext } from '../../src/images/image.ts'
import { defineImageJob } from '../../src/images/image-job.ts'
import { createMediaUrls } from '../../src/images/media-urls.ts'
import type { NewProduct, ProcessingStatus } from '../../src/products/product.ts'

export const imageJob = defineImageJob({ maxAttempts: 8, timeoutMs: 120_000 })

export const mediaUrls = createMediaUrls({
  storage: { urlPrefix: '/media/' },
  publicUrl: 'http://localhost:8080',
})

export const context: RequestContext = {
  requestId: 'test',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
}

export function newProduct(changes: Partial<NewProduct> = {}): NewProduct {
  return {
    user_id: '1234-5678-9012',
    product_name: 'Sample Product',
    product_description: 'A test product.',
    product_price: 100,
    product_images: ['https://example.com/image1.jpg'],
    ...changes,
  }
}

/** What these pictures make of their product, told a second time: the statements of the catalogue say it in SQL. */
export function processingStatus(images: readonly ImageStatus[]): ProcessingStatus {
  if (images.some((status) => status !== 'ready' && status !== 'failed')) return 'processing'
  if (images.every((status) => status === 'ready')) return 'completed'
  return images.every((status) => status === 'failed') ? 'failed' : 'partial'
}
