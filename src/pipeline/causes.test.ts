import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { causesOf } from './causes.ts'

describe('the causes of an error', () => {
  it('are told down the chain, by their codes where they have one', () => {
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })
    const error = new Error('shown', { cause: new TypeError('not written', { cause: full }) })
    assert.deepEqual(causesOf(error), ['TypeError: not written', 'ENOSPC: ENOSPC: no space left'])
    assert.deepEqual(causesOf(new Error('alone')), [])
    assert.deepEqual(causesOf(new Error('shown', { cause: 'thrown text' })), ['thrown text'])
  })

  it('show neither credentials nor queries, nor what would write to a terminal', () => {
    const text =
      'GET "https://user:pass@host.test/a.jpg?token=secret" and /b?sig=secret \u001b[2J\n!'
    assert.deepEqual(causesOf(new Error('shown', { cause: new Error(text) })), [
      'Error: GET "https://host.test/a.jpg?…" and /b?…  [2J !',
    ])
  })

  it('are no longer than a log can bear, circles included', () => {
    const circle = new Error('x'.repeat(10_000))
    circle.cause = circle
    const causes = causesOf(circle)
    assert.deepEqual([causes.length, causes[0]?.length], [8, 500])
  })
})
