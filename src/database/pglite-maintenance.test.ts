import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type MaintainedPool, startMaintenance } from './pglite-maintenance.ts'

/** A pool that counts who asks for its session, and then has none to give. */
function createBusyPool(): MaintainedPool & { asked: number; busy: boolean } {
  return {
    asked: 0,
    busy: true,
    isBusy() {
      return this.busy
    },
    async connect() {
      this.asked++
      throw new Error('no session')
    },
  }
}

describe('the maintenance of the embedded database', () => {
  test('waits for a quiet moment, for a minute at most', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const pool = createBusyPool()
    await using _maintenance = startMaintenance(pool, { everyMs: 5_000 })
    t.mock.timers.tick(55_000)
    assert.equal(pool.asked, 0)
    t.mock.timers.tick(5_000)
    assert.equal(pool.asked, 1)
  })

  test('goes on after a failure, and ends when disposed', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const pool = createBusyPool()
    pool.busy = false
    const maintenance = startMaintenance(pool, { everyMs: 5_000 })
    for (let round = 1; round <= 3; round++) {
      t.mock.timers.tick(5_000)
      assert.equal(pool.asked, round)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await maintenance[Symbol.asyncDispose]()
    t.mock.timers.tick(50_000)
    assert.equal(pool.asked, 3)
  })
})
