import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { AppError } from '../errors.ts'
import type { Representation } from './product.ts'
import { createSettledWaits } from './settled-waits.ts'

const HOUR_MS = 3_600_000
const product = (version: number, isSettled = false): Representation => ({
  id: 'p',
  body: String(version),
  etag: `"1-${version}-x"`,
  isSettled,
})

/** Waits for products that the test changes; counts how often they are read. */
function waiting() {
  const state = { current: product(1), reads: 0, error: undefined as unknown }
  const waits = createSettledWaits({
    read: async () => {
      state.reads++
      if (state.error) throw state.error
      return state.current
    },
  })
  const leaving = new AbortController()
  const wait = (timeoutMs = HOUR_MS) =>
    waits.wait(product(1), { timeoutMs, signal: leaving.signal })
  return { state, waits, wait, leaving }
}

/** Whether a promise is settled, after everything that is under way in this process. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  await turn()
  await turn()
  return await Promise.race([promise.then(() => false), turn(true)])
}

test('what is settled already is answered without a look', async () => {
  const { state, waits, leaving } = waiting()
  const settled = product(1, true)
  const options = { timeoutMs: HOUR_MS, signal: leaving.signal }
  assert.equal(await waits.wait(settled, options), settled)
  assert.equal(state.reads, 0)
})

test('what settled between the change and the wait is not missed', async () => {
  const { state, wait } = waiting()
  state.current = product(2, true)
  assert.equal(await wait(), state.current)
})

test('a wait looks when it is woken, only then, and ends once the pictures are settled', async () => {
  const { state, waits, wait } = waiting()
  const waited = wait()
  assert.ok(await isPending(waited))
  assert.equal(state.reads, 1)
  waits.wake('another')
  assert.ok(await isPending(waited))
  assert.equal(state.reads, 1)
  state.current = product(2)
  waits.wake('p')
  assert.ok(await isPending(waited))
  assert.equal(state.reads, 2)
  state.current = product(3, true)
  waits.wake('p')
  assert.equal(await waited, state.current)
  waits.wake('p')
  await turn()
  assert.equal(state.reads, 3)
})

test('a change while it looks makes it look again', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const answers = [product(1), product(2, true)]
  const waits = createSettledWaits({
    read: async () => {
      const answer = answers.shift() ?? product(9)
      if (answers.length === 1) await gate
      return answer
    },
  })
  const signal = new AbortController().signal
  const waited = waits.wait(product(1), { timeoutMs: HOUR_MS, signal })
  await turn()
  waits.wake('p')
  open()
  assert.equal((await waited).isSettled, true)
})

test('when the time is up it ends with the product as it is', async () => {
  const { state, wait } = waiting()
  const waited = wait(20)
  state.current = product(2)
  assert.equal(await waited, state.current)
})

test('no time at all is one look', async () => {
  const { state, wait } = waiting()
  state.current = product(2)
  assert.equal(await wait(0), state.current)
  assert.equal(state.reads, 1)
})

test('it ends when the signal aborts, and wakes nobody afterwards', async () => {
  const { state, waits, wait, leaving } = waiting()
  const waited = wait()
  assert.ok(await isPending(waited))
  state.current = product(2)
  leaving.abort()
  assert.equal((await waited).isSettled, false)
  const { reads } = state
  waits.wake('p')
  await turn()
  assert.equal(state.reads, reads)
  assert.equal(
    (await wait()).isSettled,
    false,
    'a signal that is aborted already waits for nothing',
  )
})

test('a deleted product ends it with the last that was known', async () => {
  const { state, waits, wait } = waiting()
  const waited = wait()
  assert.ok(await isPending(waited))
  state.error = new AppError('not_found', 'gone')
  waits.wake('p')
  assert.equal((await waited).etag, product(1).etag)
})

test('an outage is waited out', async () => {
  const { state, waits, wait } = waiting()
  state.error = new AppError('unavailable', 'away')
  const waited = wait()
  assert.ok(await isPending(waited))
  state.error = undefined
  state.current = product(2, true)
  waits.wake('p')
  assert.equal(await waited, state.current)
})

test('a thousand may wait for one product: a change wakes them all', async () => {
  const { state, waits, wait } = waiting()
  const waited = Array.from({ length: 1_000 }, () => wait())
  assert.ok(await isPending(Promise.race(waited)))
  state.current = product(2, true)
  waits.wake('p')
  for (const answer of await Promise.all(waited)) assert.equal(answer, state.current)
})
