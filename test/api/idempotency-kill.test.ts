// A service that is killed after the commit and before the answer: the repeat finds the product.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { describeOnEachDatabase, type TestEngine } from '../support/database.ts'
import { startOrigin } from '../support/origin.ts'
import { makeDataFolder, type Service, startService } from '../support/service.ts'

describeOnEachDatabase('a killed service', (engine) => {
  test('has kept the key: the repeat of a request without an answer makes no second product', async () => {
    await using stack = new AsyncDisposableStack()
    // Its picture is never answered: a creation that waits for it has been committed, and waits.
    const origin = stack.use(await startOrigin({ '/never.jpg': () => {} }))
    const environment = await environmentFor(engine, stack)
    const key = randomUUID()
    const product = {
      user_id: 'u',
      product_name: 'Answered too late',
      product_price: 1,
      product_images: [`${origin.url}/never.jpg`],
    }
    {
      await using service = await startService(environment)
      const answer = create(service, product, { 'idempotency-key': key, prefer: 'wait=30' })
      answer.catch(() => {})
      await origin.asked('/never.jpg')
      await service.kill()
      await assert.rejects(answer, 'there was no answer')
    }
    await using service = await startService(environment)
    const again = await create(service, product, { 'idempotency-key': key })
    assert.equal(again.status, 201)
    assert.equal(again.headers.get('idempotency-replayed'), 'true')
    const { id } = (await again.json()) as { id: string }
    assert.equal(again.headers.get('location'), `/api/v1/products/${id}`)
    const listed = (await (await fetch(`${service.url}/products`)).json()) as {
      data: { id: string }[]
    }
    assert.deepEqual(
      listed.data.map((one) => one.id),
      [id],
    )
  })
})

async function environmentFor(engine: TestEngine, stack: AsyncDisposableStack) {
  const environment = {
    DATA_DIR: stack.use(await makeDataFolder()).path,
    OUTBOUND_ALLOW: '127.0.0.1/32',
  }
  if (engine.name === 'pglite') return environment
  const { url = '' } = stack.use(await engine.create())
  return { ...environment, DATABASE_URL: url }
}

function create({ url }: Service, product: object, headers: Record<string, string>) {
  return fetch(`${url}/products`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(product),
  })
}
