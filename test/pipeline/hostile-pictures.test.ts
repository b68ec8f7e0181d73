// Files that are not what they should be: refused by name, judged by their header, or survived.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { type AppError, imageErrorCodes } from '../../src/errors.ts'
import * as pictures from '../support/pictures.ts'
import { childrenOf, openTestRenderer, type TestRenderer, testLimits } from '../support/renderer.ts'

let children: TestRenderer
before(async () => {
  children = await openTestRenderer()
})
after(() => children[Symbol.asyncDispose]())

const { text } = pictures

function fails(work: Promise<unknown>, code: string, detail = /./): Promise<void> {
  return assert.rejects(work, (error: AppError) => {
    assert.equal(error.code, code, String(error))
    assert.match(error.message, detail)
    return true
  })
}

async function isRendered(picture: Uint8Array): Promise<void> {
  const { files } = await children.process(picture)
  assert.ok(files[0]!.body.length > 0)
}

describe('a picture of a format that is not accepted is named', () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'
  const cases: [name: RegExp, file: Uint8Array | (() => Promise<Uint8Array>)][] = [
    [/SVG/, text(svg)],
    [/SVG/, text(`\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a drawing -->\n${svg}`)],
    [/TIFF/, () => pictures.cornersPicture().tiff().toBuffer()],
    [/PDF/, text('%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj')],
    [/JPEG 2000/, text('\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ')],
    [/JPEG XL/, text('\xff\x0a\xfa\x7f\x01')],
    [/HEIF/, pictures.heicHeader()],
    [/Bitmap/, text('BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0')],
    [/icon/, text('\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0')],
    [/Netpbm/, text('P6\n2 2\n255\nabcdefghijkl')],
    [/Photoshop/, text('8BPS\0\x01\0\0\0\0\0\0\0\x03')],
  ]
  for (const [index, [name, file]] of cases.entries()) {
    test(`${name.source} (${index + 1})`, async () => {
      const bytes = typeof file === 'function' ? await file() : file
      await fails(children.process(bytes), 'unsupported_format', name)
    })
  }
})

test('a picture of another codec in a container with the name of AVIF is not accepted', async () => {
  await fails(children.process(await pictures.relabelledAvif()), 'unsupported_format')
})

test('what is no picture is called so', async () => {
  for (const content of [
    '<!doctype html><html><body><svg></svg></body></html>',
    '<html><head><title>404</title></head></html>',
    '{"error":"not found"}',
    'BM is also how plain text may begin, and P6 is not far',
    'GIF88a',
    '\x89PNG\n',
    'RIFF\x24\0\0\0WAVEfmt ',
    '\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41',
    '\x1f\x8b\x08\0\0\0\0\0\0\x03',
    'PK\x03\x04',
    '\0',
  ]) {
    await fails(children.process(text(content)), 'not_an_image')
  }
})

describe('a damaged picture is image_corrupt', () => {
  const size = { width: 400, height: 300 }
  const makers = {
    jpeg: () => pictures.noise(size).jpeg().toBuffer(),
    'progressive jpeg': () => pictures.noise(size).jpeg({ progressive: true }).toBuffer(),
    png: () => pictures.noise(size).png().toBuffer(),
    'interlaced png': () => pictures.noise(size).png({ progressive: true }).toBuffer(),
    webp: () => pictures.noise(size).webp().toBuffer(),
    'lossless webp': () => pictures.noise(size).webp({ lossless: true }).toBuffer(),
    gif: () => pictures.noise(size).gif().toBuffer(),
    avif: () => pictures.noise(size).avif({ effort: 0 }).toBuffer(),
  }
  for (const [name, make] of Object.entries(makers)) {
    test(`${name}, cut at a third, at two thirds, and after its signature`, async () => {
      const whole = await make()
      await isRendered(whole)
      for (const length of [whole.length / 3, (whole.length * 2) / 3, 40]) {
        const cut = whole.subarray(0, Math.floor(length))
        await fails(children.process(cut), 'image_corrupt')
      }
    })
  }

  test('one that only begins like one', async () => {
    for (const start of [
      '\xff\xd8\xff\xe0',
      '\x89PNG\r\n\x1a\n',
      'GIF89a',
      'RIFF\xff\xff\0\0WEBPVP8 ',
    ]) {
      await fails(children.process(text(`${start}and then something else`)), 'image_corrupt')
    }
  })
})

test('bytes between the segments of a JPEG, as some cameras leave them, do no harm', async () => {
  const jpeg = await pictures.cornersPicture().jpeg().toBuffer()
  const scan = jpeg.indexOf(Buffer.from([0xff, 0xda]))
  await isRendered(Buffer.concat([jpeg.subarray(0, scan), Buffer.alloc(20), jpeg.subarray(scan)]))
})

describe('a header over the limits is refused before anything is decoded', () => {
  const png = (width: number, height: number, interlaced = false, depth: 8 | 16 = 8) =>
    pictures.craftedPng({ width, height, interlaced, depth }, Buffer.alloc(8))

  test('too many pixels', async () => {
    await fails(children.process(png(10_001, 10_000)), 'too_many_pixels', /10001 x 10000/)
  })

  test('a side too long', async () => {
    await fails(children.process(png(8_323_074, 2)), 'too_many_pixels', /8323074 x 2/)
    await fails(children.process(png(2, 16_385)), 'too_many_pixels', /16384/)
    await fails(children.process(png(65_536, 65_536)), 'too_many_pixels')
  })

  test('too much memory for what it is', async () => {
    await fails(children.process(png(9_000, 9_000, true, 16)), 'too_many_pixels', /memory/)
    const jpeg = await pictures.craftedProgressiveJpeg({ width: 9_900, height: 9_900 })
    await fails(children.process(jpeg), 'too_many_pixels', /memory/)
    await fails(children.process(pictures.avif144Megapixels()), 'too_many_pixels')
  })

  test('too many frames', async () => {
    await using few = await openTestRenderer({ limits: { ...testLimits, maxFrames: 2 } })
    const { blue, green, red } = pictures
    await few.process(await pictures.animated('gif', [red, blue]))
    const three = await pictures.animated('gif', [red, blue, green])
    await fails(few.process(three), 'too_many_frames', /3 frames/)
  })
})

describe('a bomb that got past the gate ends in render_out_of_memory', () => {
  const MiB = 1024 * 1024
  const bombs: Record<string, () => Promise<Buffer> | Buffer> = {
    'PNG of 68 bytes that claims 8,323,074 x 2': () =>
      pictures.craftedPng(
        { width: 8_323_074, height: 2, depth: 8, interlaced: false },
        Buffer.alloc(5),
      ),
    'PNG of 8,000,000 x 2, whole': () =>
      pictures.craftedPng(
        { width: 8_000_000, height: 2, depth: 8, interlaced: false },
        Buffer.alloc((8_000_000 * 4 + 1) * 2),
      ),
    'interlaced PNG of 16,000 x 16,000 with 16 bits': () =>
      pictures.craftedPng(
        { width: 16_000, height: 16_000, depth: 16, interlaced: true },
        Buffer.alloc(MiB),
      ),
    'progressive JPEG of 16,000 x 16,000': () =>
      pictures.craftedProgressiveJpeg({ width: 16_000, height: 16_000 }),
    'AVIF of 12,000 x 12,000': () => pictures.avif144Megapixels(),
  }

  let gateless: TestRenderer
  before(async () => {
    gateless = await openTestRenderer({
      childMemoryBytes: 512 * MiB,
      limits: { ...testLimits, maxPixels: 2 ** 31 },
    })
  })
  after(() => gateless[Symbol.asyncDispose]())

  for (const [name, make] of Object.entries(bombs)) {
    test(`${name}; the next picture is rendered`, async () => {
      await fails(gateless.renderUnjudged(await make()), 'render_out_of_memory')
      await gateless.process(await pictures.cornersPicture().png().toBuffer())
    })
  }

  test('where the host sets a memory limit, the child survives all of them', async (t) => {
    if (!gateless.logs[0]?.holds?.includes('memory limit')) return t.skip('no memory limit here')
    const before = await childrenOf(process.pid)
    for (const make of Object.values(bombs)) {
      await fails(gateless.renderUnjudged(await make()), 'render_out_of_memory')
    }
    assert.deepEqual(await childrenOf(process.pid), before)
  })
})

test('a picture of which parts were lost for want of memory never passes for whole', async () => {
  const claim = pictures.craftedPng(
    { width: 8_323_074, height: 2, depth: 8, interlaced: false },
    Buffer.alloc(5),
  )
  // The first one in a child of this size came out black, with nothing but a warning from libvips.
  for (const _ of [1, 2, 3]) {
    await using tight = await openTestRenderer({ childMemoryBytes: 135 * 1024 * 1024 })
    // So little memory now and then ends native code that does not look whether it got any.
    await assert.rejects(tight.renderUnjudged(claim), ({ code }: AppError) =>
      ['render_out_of_memory', 'render_crashed'].includes(code),
    )
  }
})

describe('a picture of 24 megapixels is no bomb', () => {
  const size = { width: 6_000, height: 4_000 }
  const makers = {
    jpeg: () => pictures.wide(size).jpeg().toBuffer(),
    'progressive jpeg': () => pictures.wide(size).jpeg({ progressive: true }).toBuffer(),
    png: () => pictures.wide(size).png({ compressionLevel: 1 }).toBuffer(),
    'interlaced png': () =>
      pictures.wide(size, 4).png({ compressionLevel: 1, progressive: true }).toBuffer(),
    webp: () => pictures.wide(size).webp({ effort: 0 }).toBuffer(),
    avif: () => pictures.wide(size).avif({ effort: 0 }).toBuffer(),
  }
  for (const [name, make] of Object.entries(makers)) {
    test(name, async () => {
      const { files } = await children.process(await make())
      assert.deepEqual([files[0]!.width, files[0]!.height], [800, 533])
    })
  }
})

test('no bytes behind a signature bring the children down', async () => {
  const seeds = await Promise.all([
    pictures.cornersPicture().jpeg().toBuffer(),
    pictures.cornersPicture().png().toBuffer(),
    pictures.animated('gif', [pictures.red, pictures.blue]),
    pictures.cornersPicture().webp().toBuffer(),
    pictures.cornersPicture().avif({ effort: 0 }).toBuffer(),
  ])
  const before = await childrenOf(process.pid)
  const garbage = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.integer({ min: 12, max: 64 }),
      fc.uint8Array({ maxLength: 400 }),
    )
    .map(([seed, kept, rest]) => Buffer.concat([seed.subarray(0, kept), rest]))
  const damaged = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { maxLength: 8 }),
    )
    .map(([seed, changes]) => {
      const copy = Buffer.from(seed)
      for (const [at, value] of changes) copy[12 + (at % (copy.length - 12))] = value
      return copy
    })
  await fc.assert(
    fc.asyncProperty(fc.oneof(garbage, damaged), async (bytes) => {
      const code = await children.process(bytes).then(
        () => undefined,
        (error: AppError) => error.code,
      )
      const allowed = imageErrorCodes.filter((known) => !known.startsWith('render_'))
      assert.ok(code === undefined || allowed.some((known) => known === code), code)
    }),
    { numRuns: 120 },
  )
  assert.deepEqual(await childrenOf(process.pid), before)
})
