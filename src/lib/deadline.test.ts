import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { orAborted, settlesWithin, withDeadline } from './deadline.ts'

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

describe('a signal', () => {
  it('lets through what settles before it is aborted', async () => {
    const { signal } = new AbortController()
    assert.equal(await orAborted(Promise.resolve('done'), signal), 'done')
    await assert.rejects(orAborted(Promise.reject(new Error('failed')), signal), /failed/)
  })

  it('ends the waiting when it is aborted, and has been before', async () => {
    const stopping = new AbortController()
    const reason = new Error('stopping')
    const waiting = orAborted(never, stopping.signal)
    stopping.abort(reason)
    await assert.rejects(waiting, reason)
    await assert.rejects(orAborted(never, stopping.signal), reason)
  })

  it('does not hear what fails after it', async () => {
    const work = Promise.withResolvers<void>()
    await assert.rejects(orAborted(work.promise, AbortSignal.abort(new Error('stopping'))))
    work.reject(new Error('failed'))
    await new Promise(setImmediate)
  })
})
