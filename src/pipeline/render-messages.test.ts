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
const thumbhash = '1QcSHQRnh493V4dIh4eXh1h4kJUI'
const body = Buffer.concat([jpeg, jpeg])

test('renditions are cut out of the body', () => {
  const answer = readRendered({ message: { files, thumbhash }, body }, presets)
  assert.ok('value' in answer)
  assert.equal(answer.value.thumbhash, thumbhash)
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
    'that says nothing of the thumbhash': [{ files }],
    'whose thumbhash is markup': [{ files, thumbhash: '<script>' }],
    'that leaves a rendition out': [{ files: [first], thumbhash }, jpeg],
    'that makes one twice': [{ files: [first, first], thumbhash }],
    'that makes another': [{ files: [first, { ...second, preset: '__proto__' }], thumbhash }],
    'that makes one larger than its box': [
      { files: [{ ...first, width: 801 }, second], thumbhash },
    ],
    'that makes one of no size': [{ files: [{ ...first, width: 0 }, second], thumbhash }],
    'that gives fractions of pixels': [{ files: [{ ...first, width: 1.5 }, second], thumbhash }],
    'that sends fewer bytes than it says': [{ files, thumbhash }, body.subarray(1)],
    'that sends more bytes than it says': [{ files, thumbhash }, Buffer.concat([body, jpeg])],
    'that counts bytes below nothing': [
      {
        files: [
          { ...first, bytes: -6 },
          { ...second, bytes: 18 },
        ],
        thumbhash,
      },
    ],
    'that sends a page instead of a picture': [
      { files, thumbhash },
      Buffer.concat([jpeg, Buffer.from('<html>')]),
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
