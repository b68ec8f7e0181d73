import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ChildEnd, failureOfEnd, failureOfText } from './render-failures.ts'

describe('a text of libvips', () => {
  const texts: [text: string, code: string][] = [
    ['vips_tracked: out of memory -- size == 47MB', 'render_out_of_memory'],
    ['VipsJpeg: Insufficient memory (case 4)', 'render_out_of_memory'],
    [
      '/spool/x: bad seek to 1989\nheif: Invalid input: Unspecified: Memory allocation error (2.0)',
      'render_out_of_memory',
    ],
    ['std::bad_alloc', 'render_out_of_memory'],
    ['glib: Error creating thread: Resource temporarily unavailable', 'render_out_of_memory'],
    [
      'heif: Memory allocation error: Security limit exceeded: Allocating 5 bytes exceeds the limit',
      'render_out_of_memory',
    ],
    [
      'heif: Memory allocation error: Security limit exceeded: iinf box contains 65536 items',
      'image_corrupt',
    ],
    ['error in tile 0 x 592\nError: parts of the picture are lost', 'image_corrupt'],
    ['VipsJpeg: premature end of JPEG image', 'image_corrupt'],
    ['vipspng: libpng read error', 'image_corrupt'],
    ['', 'image_corrupt'],
    ['Error: Input image exceeds pixel limit', 'too_many_pixels'],
    ['heif: Support for this compression format has not been built in: HEVC', 'unsupported_format'],
  ]
  for (const [text, code] of texts) {
    test(`${JSON.stringify(text.slice(-60))}: ${code}`, () => {
      const error = failureOfText(text)
      assert.equal(error.code, code)
      // It may name files of ours.
      assert.ok(text === '' || !error.message.includes(text))
      assert.equal((error.cause as Error).message, text)
    })
  }
})

describe('the end of a child', () => {
  const end: ChildEnd = { killedFor: undefined, code: null, signal: null, stderr: '' }
  const glib = 'GLib-ERROR **: ../glib/gmem.c:139: failed to allocate 384000000 bytes'
  const ends: [name: string, end: Partial<ChildEnd>, code: string][] = [
    ['at the deadline', { killedFor: 'timeout', signal: 'SIGKILL' }, 'render_timeout'],
    ['out of processor time', { signal: 'SIGXCPU' }, 'render_timeout'],
    ['by its own watchdog', { signal: 'SIGUSR2' }, 'render_out_of_memory'],
    ['by glib, without memory', { signal: 'SIGABRT', stderr: glib }, 'render_out_of_memory'],
    ['by a signal', { signal: 'SIGSEGV' }, 'render_crashed'],
    ['by whomever', { signal: 'SIGKILL' }, 'render_crashed'],
    ['by an exit', { code: 1 }, 'render_crashed'],
    ['for what it said', { killedFor: 'violation', signal: 'SIGKILL' }, 'render_crashed'],
  ]
  for (const [name, how, code] of ends) {
    test(`${name}: ${code}`, () => assert.equal(failureOfEnd({ ...end, ...how }).code, code))
  }
})
