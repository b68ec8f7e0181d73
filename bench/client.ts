// A client of the service, as far as benchmarks need one.

import { setTimeout as delay } from 'node:timers/promises'

export interface PostedProduct {
  id: string
  processing_status: string
}

/** Posts a product with these pictures. */
export async function post(url: string, pictures: readonly string[]): Promise<PostedProduct> {
  return await answer(
    await fetch(`${url}/products`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        user_id: 'bench',
        product_name: 'A product',
        product_description: 'Posted by a benchmark.',
        product_price: 19.99,
        product_images: pictures,
      }),
    }),
  )
}

/** Resolves once every picture of the product is ready. Throws when one failed. */
export async function ready(url: string, id: string, everyMs: number): Promise<void> {
  for (;;) {
    const product = await answer(await fetch(`${url}/products/${id}`))
    if (product.processing_status === 'completed') return
    if (product.processing_status !== 'processing')
      throw new Error(`not ready: ${JSON.stringify(product)}`)
    await delay(everyMs)
  }
}

async function answer(response: Response): Promise<PostedProduct> {
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as PostedProduct
}
