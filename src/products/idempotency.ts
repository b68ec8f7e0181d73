// A creation that is sent again: the key of the first request is stored in the product's own statement,
// so that a repeat finds the product, also when the first one's answer never arrived.

import { createHash } from 'node:crypto'
import { AppError, isAppError } from '../errors.ts'
import type { CheckedProduct } from './product-input.ts'

/** Equal for requests that ask for the same product, however their JSON was written. */
export function fingerprintOf(product: CheckedProduct): string {
  const { userId, name, description, price, sourceUrls } = product
  return createHash('sha256')
    .update(JSON.stringify([userId, name, description, price, sourceUrls]))
    .digest('base64url')
}

/**
 * The product that the first request with this key made, as `read` finds it now. Throws
 * `idempotency_key_reused` when this request asks for another one, `conflict` when it is gone.
 */
export async function replay<T>(
  { firstProductId, isSameRequest }: { firstProductId: string; isSameRequest: boolean },
  read: (productId: string) => Promise<T>,
): Promise<T> {
  if (!isSameRequest) {
    throw new AppError(
      'idempotency_key_reused',
      'The key was sent before with another product; use a new key for a new product.',
    )
  }
  try {
    return await read(firstProductId)
  } catch (error) {
    if (!isAppError(error, 'not_found')) throw error
    throw new AppError(
      'conflict',
      'The product that was made with this key is gone; use a new key to make it again.',
      { cause: error },
    )
  }
}
