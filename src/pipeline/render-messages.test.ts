import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Preset } from './presets.ts'
import { ProtocolViolation, readHeader, readReady, readRendered } from './render-messages.ts'

const presets: Preset[] = [
  { name: 'default', format: 'jpeg', width: 800, height: 600, quality: 75 },
  { name: 'small', format: 'jpeg', width: 80, height: 60, quality: 75 },
]
const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2])
const files = [
  { preset: 'default', width: 800, height: 600, bytes: 6 },
  { preset: 'small', width: 80, height: 60, bytes: 6 },
]
const preview = { width: 2, height: 1 }
const pixels = Buffer.from([255, 0, 0, 0, 0, 255])
const body = Buffer.concat([jpeg, jpeg, pixels])

test('renditions are cut out of the body', () => {
  const answer = readRendered({ message: { files, preview }, body }, presets)
  assert.ok('value' in answer)
  assert.equal(answer.value.thumbhash, 'FfYqDMF4CIeIiIeAeIePiNuICA==')
  assert.deepEqual(
    answer.value.files.map((file) => [file.preset, file.format, Buffer.from(file.body)]),
    [
      ['default', 'jpeg', jpeg],
      ['small', 'jpeg', jpeg],
    ],
  )
})

test('what libvips says of a picture is an answer', () => {
  const frame = { message: { failed: 'bad seek' }, body: Buffer.alloc(0) }
  assert.deepEqual(readHeader(frame), { failed: 'bad seek' })
  assert.deepEqual(readRendered(frame, presets), { failed: 'bad seek' })
})

describe('a child is not believed', () => {
  const [first, second] = files
  const cases: Record<string, [message: unknown, body?: Uint8Array]> = {
    'that says nothing': [undefined],
    'that says nothing of the preview': [{ files }],
    'whose preview is larger than was asked for': [
      { files, preview: { width: 49, height: 1 } },
      Buffer.concat([jpeg, jpeg, Buffer.alloc(49 * 3)]),
    ],
    'whose preview has no size': [{ files, preview: { width: 0, height: 1 } }],
    'that leaves a rendition out': [{ files: [first], preview }, Buffer.concat([jpeg, pixels])],
    'that makes one twice': [{ files: [first, first], preview }],
    'that makes another': [{ files: [first, { ...second, preset: '__proto__' }], preview }],
    'that makes one larger than its box': [{ files: [{ ...first, width: 801 }, second], preview }],
    'that makes one of no size': [{ files: [{ ...first, width: 0 }, second], preview }],
    'that gives fractions of pixels': [{ files: [{ ...first, width: 1.5 }, second], preview }],
    'that sends fewer bytes than it says': [{ files, preview }, body.subarray(1)],
    'that sends more bytes than it says': [{ files, preview }, Buffer.concat([body, pixels])],
    'that counts bytes below nothing': [
      {
        files: [
          { ...first, bytes: -6 },
          { ...second, bytes: 18 },
        ],
        preview,
      },
    ],
    'that sends a page instead of a picture': [
      { files, preview },
      Buffer.concat([jpeg, Buffer.from('<html>'), pixels]),
    ],
  }
  for (const [name, [message, sent = body]] of Object.entries(cases)) {
    test(name, () => {
      assert.throws(() => readRendered({ message, body: sent }, presets), ProtocolViolation)
    })
  }

  test('that gives a header of another shape', () => {
    const header = {
      format: 'jpeg',
      width: 1,
      height: 1,
      frames: 1,
      channels: 3,
      depth: 'uchar',
      interlaced: false,
    }
    const read = (message: unknown) => readHeader({ message, body: Buffer.alloc(0) })
    assert.deepEqual(read(header), { value: header })
    for (const change of [{ width: '1' }, { height: -1 }, { frames: null }, { depth: {} }]) {
      assert.throws(() => read({ ...header, ...change }), ProtocolViolation)
    }
    assert.throws(() => readReady({ message: {}, body: Buffer.alloc(0) }), ProtocolViolation)
  })
})
