import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bellMessage, letterMessage, readMessage } from './messages.ts'

const job = '01a1f8df-0231-7292-b7ed-fa9529926929'
const death = '6a0b1c52-6b0e-4c4e-9a63-2a2b0a4a9f6e'

describe('a message', () => {
  test('that we wrote is read again, as text, bytes or value', () => {
    for (const [message, bell] of [
      [bellMessage(job), { jobId: job }],
      [letterMessage({ jobId: job, death, details: {} }), { jobId: job, death }],
    ] as const) {
      const text = JSON.stringify(message)
      for (const body of [text, Buffer.from(text), message])
        assert.deepEqual(readMessage(body), bell)
    }
  })

  test('of a dead job tells what happened, and no detail passes for what counts', () => {
    const details = { code: 'dns_failed', attempts: 3, job: 'x', death: 'y', version: 7 }
    const letter = letterMessage({ jobId: job, death, details })
    assert.deepEqual(letter, { code: 'dns_failed', attempts: 3, job, death, version: 1 })
  })

  const refused: [unknown, string][] = [
    ['', 'not_json'],
    ['{', 'not_json'],
    [Buffer.from([0xff, 0x00, 0x80]), 'not_json'],
    [undefined, 'not_json'],
    ['null', 'not_ours'],
    ['7', 'not_ours'],
    ['[]', 'not_ours'],
    ['{}', 'not_ours'],
    [{ job }, 'not_ours'],
    [{ version: '1', job }, 'not_ours'],
    [{ version: 0, job }, 'not_ours'],
    [{ version: 1 }, 'not_ours'],
    [{ version: 1, job: 'x' }, 'not_ours'],
    [{ version: 1, job: [job] }, 'not_ours'],
    [{ version: 1, job, death: 'x' }, 'not_ours'],
    [{ version: 1, job, death: null }, 'not_ours'],
    [{ version: 2, job }, 'unknown_version'],
    [{ version: 1e9 }, 'unknown_version'],
  ]
  for (const [body, reason] of refused) {
    test(`${JSON.stringify(body)} is refused as ${reason}`, () => {
      const read = readMessage(body)
      assert.equal('reason' in read && read.reason, reason)
    })
  }
})
