import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createFrameReader, encodeFrame, type Frame } from './render-protocol.js'

const limits = { maxMessageBytes: 1_000, maxBodyBytes: 1_000 }

const frames = fc.array(
  fc.tuple(
    fc.record(
      { text: fc.string({ unit: 'binary', maxLength: 40 }), number: fc.integer() },
      { noNullPrototype: true },
    ),
    fc.uint8Array({ maxLength: 100 }),
  ),
  { maxLength: 5 },
)

describe('frames', () => {
  test('arrive as they were sent, in whatever pieces', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 })), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(([message, body]) => encodeFrame(message, body)))
        const read = createFrameReader(limits)
        const received: Frame[] = []
        let at = 0
        for (const cut of cuts) {
          received.push(...read(bytes.subarray(at, at + cut)))
          at = Math.min(bytes.length, at + cut)
        }
        received.push(...read(bytes.subarray(at)))
        assert.deepEqual(
          received.map(({ message, body }) => [message, [...body]]),
          sent.map(([message, body]) => [message, [...body]]),
        )
      }),
    )
  })

  test('that announce too much are refused by their lengths alone', () => {
    const lengths = Buffer.alloc(8)
    lengths.writeUInt32BE(1_001, 0)
    assert.throws(() => createFrameReader(limits)(lengths), RangeError)
    lengths.writeUInt32BE(2, 0)
    lengths.writeUInt32BE(2 ** 32 - 1, 4)
    assert.throws(() => createFrameReader(limits)(lengths), RangeError)
  })

  test('that are not JSON are refused', () => {
    const frame = Buffer.from([0, 0, 0, 2, 0, 0, 0, 0, 0x7b, 0x7b])
    assert.throws(() => createFrameReader(limits)(frame), SyntaxError)
  })
})
