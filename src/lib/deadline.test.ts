import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { settlesWithin, withDeadline } from './deadline.ts'

const never = new Promise<never>(() => {})
const late = () => new Error('late')

describe('a deadline', () => {
  it('lets through what settles in time', async () => {
    assert.equal(await settlesWithin(Promise.resolve(), 1_000), true)
    assert.equal(await withDeadline(Promise.resolve('done'), 1_000, late), 'done')
    const failing = () => Promise.reject(new Error('failed'))
    await assert.rejects(settlesWithin(failing(), 1_000), /failed/)
    await assert.rejects(withDeadline(failing(), 1_000, late), /failed/)
  })

  it('ends the waiting for what does not, at once when it is past', async () => {
    assert.equal(await settlesWithin(never, 1), false)
    assert.equal(await settlesWithin(never, -1), false)
    await assert.rejects(withDeadline(never, 1, late), /late/)
  })

  it('does not hear what fails after it', async () => {
    const work = Promise.withResolvers<void>()
    await assert.rejects(withDeadline(work.promise, 1, late), /late/)
    // Heard by nobody it would end the process.
    work.reject(new Error('failed'))
    await new Promise(setImmediate)
  })
})
