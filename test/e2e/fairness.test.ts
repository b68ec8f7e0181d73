// Nobody waits for somebody else's pictures: not for a user's hundreds, not for an origin that hangs. What
// counts is the order in which pictures end, which the log tells.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Composed, startComposed } from '../support/composed.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, stall, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import { makeDataFolder, postProduct, settled } from '../support/service.ts'

describe('a picture', () => {
  const stack = new AsyncDisposableStack()
  let many: Origin
  let one: Origin
  let hanging: Origin
  let service: Composed
  before(async () => {
    const picture = await jpeg(30, 20, 'teal')
    many = stack.use(await startOrigin({ '/a.jpg': picture }))
    one = stack.use(await startOrigin({ '/a.jpg': picture }))
    hanging = stack.use(await startOrigin({ '/a.jpg': stall() }))
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    const environment = { DATA_DIR, OUTBOUND_ALLOW: '127.0.0.1/32', SHUTDOWN_TIMEOUT: '1s' }
    service = stack.use(await startComposed(environment))
  })
  after(() => stack.disposeAsync())

  const post = (origin: Origin, userId: string, count: number) =>
    postProduct(
      service,
      Array.from({ length: count }, (_, n) => `${origin.url}/a.jpg?${n}`),
      { user_id: userId },
    )
  const readyInOrder = () =>
    service.logs.filter(({ msg }) => msg === 'picture ready').map(({ product_id }) => product_id)

  for (const [where, originOf] of [
    ['another origin', () => one],
    ['the same origin', () => many],
  ] as const) {
    test(`of ${where} does not wait for the 300 that another user posted before it`, async (t) => {
      const before = readyInOrder().length
      const products = await Promise.all(
        Array.from({ length: 15 }, () => post(many, `many ${where}`, 20)),
      )
      // They are under way, not only queued.
      await eventually(() => assert.ok(readyInOrder().length > before + 10))
      const postedAt = readyInOrder().length
      const { id } = await post(originOf(), `one ${where}`, 1)
      await settled(service, id)
      const overtaken = readyInOrder().indexOf(id) - postedAt
      for (const product of products) {
        assert.equal((await settled(service, product.id)).processing_status, 'completed')
      }
      t.diagnostic(`after ${postedAt - before} of 300, and ${overtaken} more`)
      assert.ok(postedAt - before < 200, 'there was somebody to wait for')
      assert.ok(overtaken <= 60, `${overtaken} of the others were first`)
    })
  }

  test('of a good origin does not wait for 100 of one that hangs, of the same user neither', async () => {
    const products = await Promise.all(Array.from({ length: 5 }, () => post(hanging, 'same', 20)))
    await hanging.asked('/a.jpg', 4)
    const { id } = await post(one, 'same', 1)
    assert.equal((await settled(service, id, 10_000)).processing_status, 'completed')
    for (const product of products) assert.ok(!readyInOrder().includes(product.id))
    assert.equal(hanging.count('/a.jpg'), 4, 'no more of them at a time than one host is given')
  })
})
