import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startAllowance } from './allowance.ts'

describe('an allowance', () => {
  it('is spent by working, not by waiting', async () => {
    const start = performance.now()
    const spent = Promise.withResolvers<number>()
    using allowance = startAllowance(100, () => spent.resolve(performance.now() - start))
    assert.equal(await allowance.wait(delay(300, 'turn')), 'turn')
    await assert.rejects(allowance.wait(Promise.reject(new Error('no turn'))), /no turn/)
    const afterMs = await spent.promise
    assert.ok(afterMs >= 390, `${afterMs}`)
  })

  it('that is disposed of is never spent, a wait that ends later included', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const spent = t.mock.fn()
    const turn = Promise.withResolvers<void>()
    const allowance = startAllowance(1, spent)
    const waiting = allowance.wait(turn.promise)
    allowance[Symbol.dispose]()
    turn.resolve()
    await waiting
    t.mock.timers.tick(1_000)
    assert.equal(spent.mock.callCount(), 0)
  })
})
