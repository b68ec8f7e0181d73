import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AppError } from '../errors.ts'
import { judgeHeader, type PictureLimits } from './inspect.ts'
import type { PictureHeader } from './render-messages.ts'
import type { PictureFormat } from './renderer.ts'

const MiB = 1024 * 1024
const limits: PictureLimits = {
  maxPixels: 100_000_000,
  maxSide: 16_384,
  maxFrames: 500,
  maxDecodeBytes: 512 * MiB,
}

function header(changes: Partial<PictureHeader> = {}): PictureHeader {
  return {
    format: 'jpeg',
    width: 4_000,
    height: 3_000,
    frames: 1,
    channels: 3,
    depth: 'uchar',
    interlaced: false,
    ...changes,
  }
}

function refuses(format: PictureFormat, changes: Partial<PictureHeader>, code: string): void {
  assert.throws(
    () => judgeHeader(format, header({ format, ...changes }), limits),
    (error: AppError) => error.code === code,
    JSON.stringify(changes),
  )
}

function accepts(format: PictureFormat, changes: Partial<PictureHeader>): void {
  judgeHeader(format, header({ format, ...changes }), limits)
}

test('what is within the limits is told of by its format, sides and frames', () => {
  assert.deepEqual(judgeHeader('gif', header({ format: 'gif', frames: 3 }), limits), {
    format: 'gif',
    width: 4_000,
    height: 3_000,
    frames: 3,
  })
})

describe('limits hold to the pixel', () => {
  test('of a side', () => {
    accepts('png', { width: 16_384, height: 1 })
    refuses('png', { width: 16_385, height: 1 }, 'too_many_pixels')
    refuses('png', { width: 1, height: 16_385 }, 'too_many_pixels')
  })

  test('of the area', () => {
    accepts('png', { width: 10_000, height: 10_000 })
    refuses('png', { width: 10_000, height: 10_001 }, 'too_many_pixels')
  })

  test('of the frames', () => {
    accepts('gif', { frames: 500 })
    refuses('gif', { frames: 501 }, 'too_many_frames')
  })
})

describe('memory is estimated by what a format keeps while decoding, in megapixels', () => {
  const of16bit = { depth: 'ushort', channels: 4 }
  // Sides of up to 10,000, so that the limit on the area does not answer first.
  const wide = (megapixels: number) => {
    return { width: 10_000, height: megapixels * 100 }
  }
  const bounds: [string, PictureFormat, Partial<PictureHeader>, fits: number, tooMany: number][] = [
    ['AVIF of 8 bits', 'avif', { format: 'heif', compression: 'av1' }, 25, 26],
    ['AVIF of 10 bits', 'avif', { format: 'heif', compression: 'av1', depth: 'ushort' }, 19, 20],
    ['GIF', 'gif', {}, 83, 84],
    ['interlaced PNG of RGBA with 16 bits', 'png', { ...of16bit, interlaced: true }, 52, 53],
    ['progressive JPEG 4:4:4', 'jpeg', { interlaced: true, chromaSubsampling: '4:4:4' }, 79, 80],
    ['progressive CMYK', 'jpeg', { interlaced: true, channels: 4 }, 59, 60],
  ]
  for (const [name, format, changes, fits, tooMany] of bounds) {
    test(`${name}: ${fits} fit, ${tooMany} do not`, () => {
      accepts(format, { ...changes, ...wide(fits) })
      refuses(format, { ...changes, ...wide(tooMany) }, 'too_many_pixels')
    })
  }

  test('what streams may have as many pixels as any', () => {
    accepts('jpeg', wide(100))
    accepts('webp', wide(100))
    accepts('png', { ...of16bit, ...wide(100) })
    accepts('jpeg', { interlaced: true, chromaSubsampling: '4:2:0', ...wide(100) })
  })
})

test('content that is not what its signature says is no picture of that format', () => {
  refuses('jpeg', { format: 'png' }, 'image_corrupt')
  refuses('png', { format: 'heif', compression: 'av1' }, 'image_corrupt')
})

test('AVIF is what AV1 coded', () => {
  refuses('avif', { format: 'heif', compression: 'hevc' }, 'unsupported_format')
  refuses('avif', { format: 'heif' }, 'unsupported_format')
  refuses('avif', { format: 'jpeg' }, 'unsupported_format')
})
