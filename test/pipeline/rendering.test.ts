// What comes out of the picture children, pixel by pixel.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { thumbHashToRGBA } from 'thumbhash'
import type { Preset } from '../../src/pipeline/presets.ts'
import * as pictures from '../support/pictures.ts'
import { openTestRenderer, type TestRenderer, unaborted } from '../support/renderer.ts'

const { blue, corners, green, red, upright, white } = pictures

let children: TestRenderer
before(async () => {
  children = await openTestRenderer()
})
after(() => children[Symbol.asyncDispose]())

/** The default rendition's bytes. */
async function renditionOf(picture: Uint8Array): Promise<Uint8Array> {
  const { files } = await children.process(picture)
  assert.equal(files.length, 1)
  return files[0]!.body
}

/** The colour at a place given as fractions of the sides. */
async function colorAt(file: Uint8Array, left: number, top: number): Promise<number[]> {
  const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true })
  assert.equal(info.channels, 3)
  const at = Math.floor(top * info.height) * info.width + Math.floor(left * info.width)
  return [...data.subarray(at * 3, at * 3 + 3)]
}

function assertColor(actual: readonly number[], expected: readonly number[], within = 8): void {
  const isNear = expected.every((value, at) => Math.abs(value - (actual[at] ?? -1)) <= within)
  assert.ok(isNear, `rgb(${actual}) is not within ${within} of rgb(${expected})`)
}

async function assertPlain(picture: Uint8Array, expected: readonly number[], within?: number) {
  const file = await renditionOf(picture)
  for (const place of [0.1, 0.5, 0.9])
    assertColor(await colorAt(file, place, place), expected, within)
}

describe('a rendition stands upright', () => {
  for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
    test(`whatever way the camera was held (EXIF orientation ${orientation})`, async () => {
      const path = await children.place(await pictures.orientedJpeg(orientation))
      const { width, height } = await children.renderer.inspect(path, { signal: unaborted })
      assert.deepEqual({ width, height }, upright)
      const file = await renditionOf(await pictures.orientedJpeg(orientation))
      const metadata = await sharp(file).metadata()
      assert.deepEqual({ width: metadata.width, height: metadata.height }, upright)
      assert.equal(metadata.orientation, undefined)
      assertColor(await colorAt(file, 0.25, 0.25), corners.topLeft)
      assertColor(await colorAt(file, 0.75, 0.25), corners.topRight)
      assertColor(await colorAt(file, 0.25, 0.75), corners.bottomLeft)
      assertColor(await colorAt(file, 0.75, 0.75), corners.bottomRight)
    })
  }

  test('orientations 1 and 6 are stored differently', async () => {
    const stored = await sharp(await pictures.orientedJpeg(6)).metadata()
    assert.deepEqual([stored.width, stored.height], [upright.height, upright.width])
  })
})

describe('a rendition has the colours of its source, in sRGB', () => {
  test('from CMYK with a profile', async () => {
    const cmyk = await pictures.cmykJpeg(red)
    assert.equal((await sharp(cmyk).metadata()).space, 'cmyk')
    // Red at its fullest is outside of what inks can do.
    await assertPlain(cmyk, [237, 28, 36], 24)
  })

  test('from Display P3, whose numbers for the same red are others', async () => {
    const p3 = await pictures.displayP3Png(red)
    const stored = await sharp(p3, { ignoreIcc: true }).raw().toBuffer()
    assertColor([...stored.subarray(0, 3)], [234, 51, 35], 3)
    await assertPlain(p3, red)
  })

  test('from 16 bits a sample', async () => {
    const deep = await pictures.png16([200, 100, 50])
    assert.equal((await sharp(deep).metadata()).depth, 'ushort')
    await assertPlain(deep, [200, 100, 50])
  })

  test('from grey of 16 bits with alpha', async () => {
    // Grey 25 %, half of it there: on white, (64 + 255) / 2.
    const grey = await pictures.greyAlphaPng16(16_384, 32_768)
    const { depth, channels, space } = await sharp(grey).metadata()
    assert.deepEqual({ depth, channels, space }, { depth: 'ushort', channels: 2, space: 'grey16' })
    await assertPlain(grey, [159, 159, 159])
  })

  test('from grey', async () => {
    const grey = await pictures.plain([90, 90, 90]).toColourspace('b-w').jpeg().toBuffer()
    assert.equal((await sharp(grey).metadata()).channels, 1)
    await assertPlain(grey, [90, 90, 90])
  })

  test('from a palette', async () => {
    const indexed = await pictures.palettePng(green)
    assert.equal((await sharp(indexed).metadata()).isPalette, true)
    await assertPlain(indexed, green)
  })

  test('from each accepted format', async () => {
    const source = () => pictures.cornersPicture()
    for (const picture of [
      await source().jpeg({ quality: 95 }).toBuffer(),
      await source().jpeg({ quality: 95, progressive: true }).toBuffer(),
      await source().png().toBuffer(),
      await source().png({ progressive: true }).toBuffer(),
      await source().webp({ quality: 95 }).toBuffer(),
      await source().webp({ lossless: true }).toBuffer(),
      await source().gif().toBuffer(),
      await source().avif({ quality: 90 }).toBuffer(),
    ]) {
      const file = await renditionOf(picture)
      assertColor(await colorAt(file, 0.25, 0.25), corners.topLeft, 12)
      assertColor(await colorAt(file, 0.75, 0.75), corners.bottomRight, 12)
    }
  })
})

describe('what is not opaque stands on white', () => {
  test('half of a colour', async () => {
    await assertPlain(await pictures.plain([255, 0, 0, 128]).png().toBuffer(), [255, 127, 127])
  })

  test('nothing at all, whatever colour it would have had', async () => {
    await assertPlain(await pictures.plain([255, 0, 0, 0]).png().toBuffer(), white, 2)
    await assertPlain(await pictures.plain([0, 0, 0, 0]).webp().toBuffer(), white, 2)
    await assertPlain(await pictures.palettePng([0, 0, 255, 0]), white, 2)
  })
})

describe('an animation is shown by its first frame', () => {
  for (const format of ['gif', 'webp'] as const) {
    test(format, async () => {
      const animation = await pictures.animated(format, [red, blue, green])
      const path = await children.place(animation)
      const { frames, height } = await children.renderer.inspect(path, { signal: unaborted })
      assert.deepEqual({ frames, height }, { frames: 3, height: 32 })
      await assertPlain(animation, red)
    })
  }
})

describe('a rendition fits its box', () => {
  const sizeOf = async (width: number, height: number) => {
    const picture = await pictures.wide({ width, height }).png().toBuffer()
    const { files } = await children.process(picture)
    const metadata = await sharp(files[0]!.body).metadata()
    assert.deepEqual([metadata.width, metadata.height], [files[0]!.width, files[0]!.height])
    return [metadata.width, metadata.height]
  }

  test('by the side that is too long for it', async () => {
    assert.deepEqual(await sizeOf(1600, 900), [800, 450])
    assert.deepEqual(await sizeOf(900, 1600), [338, 600])
    assert.deepEqual(await sizeOf(801, 600), [800, 599])
  })

  test('without being enlarged', async () => {
    assert.deepEqual(await sizeOf(800, 600), [800, 600])
    assert.deepEqual(await sizeOf(31, 17), [31, 17])
    assert.deepEqual(await sizeOf(1, 1), [1, 1])
  })

  test('and keeps at least a pixel of its short side', async () => {
    assert.deepEqual(await sizeOf(16_000, 2), [800, 1])
  })
})

describe('a rendition is a plain JPEG', () => {
  test('without the metadata of its source', async () => {
    const source = await pictures
      .cornersPicture()
      .withExif({ IFD0: { Copyright: 'somebody', Make: 'a camera' } })
      .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
      .withIccProfile('p3')
      .jpeg()
      .toBuffer()
    const { exif, xmp, icc, ...rest } = await sharp(source).metadata()
    assert.ok(exif && xmp && icc, 'the source has none')
    const rendered = await sharp(await renditionOf(source)).metadata()
    assert.deepEqual(
      [rendered.format, rendered.exif, rendered.xmp, rendered.icc, rendered.iptc],
      ['jpeg', undefined, undefined, undefined, undefined],
    )
    assert.equal(rendered.space, rest.space)
  })

  test('of quality 75', async () => {
    // The first entry of the standard's luminance table, 16, at quality 75: (16 * 50 + 50) / 100.
    const file = Buffer.from(await renditionOf(await pictures.cornersPicture().png().toBuffer()))
    const table = file.indexOf(Buffer.from([0xff, 0xdb]))
    assert.equal(file[table + 5], 8)
  })
})

describe('several presets are made from one decoding', () => {
  const box = (name: string, width: number, height: number): Preset => {
    return { name, format: 'jpeg', width, height, quality: 80 }
  }

  test('each in its own box, in any order', async () => {
    const path = await children.place(
      await pictures.cornersPicture().resize(1200, 800).png().toBuffer(),
    )
    const asked = [box('small', 90, 90), box('large', 900, 900), box('medium', 300, 100)]
    const { files } = await children.renderer.render(path, asked, { signal: unaborted })
    const sizes = Object.fromEntries(files.map((file) => [file.preset, [file.width, file.height]]))
    assert.deepEqual(sizes, { small: [90, 60], large: [900, 600], medium: [150, 100] })
    for (const { body, width, height } of files) {
      const metadata = await sharp(body).metadata()
      assert.deepEqual([metadata.width, metadata.height], [width, height])
      assertColor(await colorAt(body, 0.25, 0.25), corners.topLeft)
      assertColor(await colorAt(body, 0.75, 0.75), corners.bottomRight)
    }
  })
})

test('the thumbhash is a small picture of the same colours', async () => {
  const { thumbhash } = await children.process(await pictures.cornersPicture().png().toBuffer())
  const { w, h, rgba } = thumbHashToRGBA(Buffer.from(thumbhash, 'base64'))
  assert.equal(w > h, true)
  const at = (x: number, y: number) => {
    const start = (Math.floor(y * h) * w + Math.floor(x * w)) * 4
    return [...rgba.subarray(start, start + 4)]
  }
  assertColor(at(0.2, 0.2), [...corners.topLeft, 255], 70)
  assertColor(at(0.8, 0.2), [...corners.topRight, 255], 70)
  assertColor(at(0.2, 0.8), [...corners.bottomLeft, 255], 70)
  assertColor(at(0.8, 0.8), [...corners.bottomRight, 255], 70)
})
