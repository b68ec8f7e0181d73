// Examples for the description, of one product throughout.

import type { ProblemCode } from '../../errors.ts'
import type { ImageDocument } from '../../images/image.ts'
import type { ProductDocument } from '../../products/product.ts'
import { type Problem, statuses, titles } from '../problem.ts'

export const EXAMPLE_PRODUCT_ID = '0199f3c2-5b7e-7c3a-9a51-2f8f6f1d4e10'

export const exampleImage: ImageDocument = {
  id: '0199f3c2-5b7e-7c3a-9a51-35d2c8a07b64',
  position: 0,
  source_url: 'https://example.com/image1.jpg',
  status: 'ready',
  width: 4000,
  height: 3000,
  bytes: 5_065_576,
  format: 'jpeg',
  thumbhash: '3OcRJYB4d3h/iIeHeEh3eIhw+j2w',
  attempts: 1,
  max_attempts: 8,
  next_attempt_at: null,
  error: null,
  renditions: [
    {
      preset: 'default',
      url: 'http://localhost:8080/media/renditions/3f/3fa9c1d2/default-1c2d.jpg',
      width: 800,
      height: 600,
      bytes: 92_133,
      format: 'jpeg',
    },
  ],
}

export const exampleProduct: ProductDocument = {
  id: EXAMPLE_PRODUCT_ID,
  user_id: '1234-5678-9012',
  product_name: 'Sample Product',
  product_description: 'A test product.',
  product_price: 100,
  product_images: ['https://example.com/image1.jpg'],
  compressed_product_images: [
    'http://localhost:8080/media/renditions/3f/3fa9c1d2/default-1c2d.jpg',
  ],
  processing_status: 'completed',
  images: [exampleImage],
  version: 5,
  created_at: '2026-11-20T08:00:00.123456Z',
  updated_at: '2026-11-20T08:00:01.654321Z',
}

export const exampleNewProduct = {
  user_id: '1234-5678-9012',
  product_name: 'Sample Product',
  product_description: 'A test product.',
  product_price: 100,
  product_images: ['https://example.com/image1.jpg'],
}

const details: Readonly<Partial<Record<ProblemCode, string>>> = {
  malformed_json: 'The body ends too early, at position 17.',
  invalid_input: 'product_price must be >= 0',
  cursor_mismatch: 'The cursor was made for a list with another filter. Start again without it.',
  invalid_cursor: 'The cursor is damaged or was not made by this service.',
  not_found: 'There is no such product.',
  conflict: 'The picture is being processed.',
  stale_version: 'The product was changed since.',
  too_large: 'The body is too large.',
  unsupported_media_type: 'The body must be application/json.',
  idempotency_key_reused:
    'The key was sent before with another product; use a new key for a new product.',
  unavailable: 'The database cannot be reached or does not answer.',
}

/** A problem of this code, with a status of its own where HTTP has a narrower one. */
export function exampleProblem(code: ProblemCode, status: number = statuses[code]): Problem {
  const detail = details[code]
  const errors = [{ pointer: '/product_price', code: 'minimum', detail: 'must be >= 0' }]
  return {
    type: `/problems/${code}`,
    title: titles[code],
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
    request_id: '8e03978e-40d5-43dd-bc93-6894a57f9324',
    ...(code === 'invalid_input' ? { errors } : {}),
  }
}
