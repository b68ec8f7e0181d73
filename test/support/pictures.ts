// Pictures made for tests: small, of known colours, and hostile ones that are little more than a header.

import { brotliDecompressSync, crc32, deflateSync } from 'node:zlib'
import sharp, { type Channels, type Sharp } from 'sharp'

export type Rgb = readonly [red: number, green: number, blue: number]

export const red: Rgb = [255, 0, 0]
export const green: Rgb = [0, 160, 0]
export const blue: Rgb = [0, 0, 255]
export const white: Rgb = [255, 255, 255]
export const yellow: Rgb = [255, 220, 0]

/** Upright: red and green above, blue and yellow below. */
export const corners = { topLeft: red, topRight: green, bottomLeft: blue, bottomRight: yellow }

export const upright = { width: 120, height: 80 }

type Pixel = (x: number, y: number) => readonly number[]
interface Size {
  width: number
  height: number
}

/** Pixels by a function of their place, 8 bits a sample. */
function paint({ width, height }: Size, pixel: Pixel): Sharp {
  const samples: number[] = []
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) samples.push(...pixel(x, y))
  const channels = (samples.length / (width * height)) as Channels
  return sharp(Uint8Array.from(samples), { raw: { width, height, channels } })
}

function corner(x: number, y: number): Rgb {
  const isLeft = x < upright.width / 2
  if (y < upright.height / 2) return isLeft ? corners.topLeft : corners.topRight
  return isLeft ? corners.bottomLeft : corners.bottomRight
}

/** The four corners, not compressed yet. */
export function cornersPicture(): Sharp {
  return paint(upright, corner)
}

/** Where the stored pixel (x, y) belongs in the upright picture, by EXIF orientation (EXIF 2.3, 0x0112). */
const uprightPlace: readonly ((x: number, y: number) => [x: number, y: number])[] = [
  (x, y) => [x, y],
  (x, y) => [upright.width - 1 - x, y],
  (x, y) => [upright.width - 1 - x, upright.height - 1 - y],
  (x, y) => [x, upright.height - 1 - y],
  (x, y) => [y, x],
  (x, y) => [upright.width - 1 - y, x],
  (x, y) => [upright.width - 1 - y, upright.height - 1 - x],
  (x, y) => [y, upright.height - 1 - x],
]

/** The four corners, stored as a camera held that way would: turned upright they are `corners`. */
export function orientedJpeg(orientation: number): Promise<Buffer> {
  const place = uprightPlace[orientation - 1]
  if (!place) throw new RangeError(`no orientation ${orientation}`)
  const { width, height } = upright
  const stored = orientation > 4 ? { width: height, height: width } : upright
  return paint(stored, (x, y) => corner(...place(x, y)))
    .withMetadata({ orientation })
    .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
    .toBuffer()
}

/** One colour, with alpha when there is a fourth number (0–255). */
export function plain(color: readonly number[], size: Size = { width: 32, height: 32 }) {
  return paint(size, () => color)
}

/** A small file of one colour, by its name in CSS. */
export function jpeg(width: number, height: number, background: string): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background } })
    .jpeg()
    .toBuffer()
}

/** A large picture of one colour, made without a buffer of its pixels. */
export function wide(size: Size, channels: 3 | 4 = 3): Sharp {
  const background = { r: 200, g: 30, b: 40, alpha: channels === 4 ? 0.5 : 1 }
  return sharp({ create: { ...size, channels, background } })
}

export function cmykJpeg(color: Rgb): Promise<Buffer> {
  return plain(color).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 95 }).toBuffer()
}

/** RGB of 16 bits a sample. */
export function png16(color: Rgb): Promise<Buffer> {
  return plain(color).toColourspace('rgb16').png().toBuffer()
}

/** Grey of 16 bits (0–65,535), with alpha of 16 bits. */
export function greyAlphaPng16(grey: number, alpha: number): Promise<Buffer> {
  const { width, height } = upright
  const samples = new Uint16Array(width * height * 2).map((_, at) => (at % 2 === 0 ? grey : alpha))
  return sharp(samples, { raw: { width, height, channels: 2 } })
    .toColourspace('grey16')
    .png()
    .toBuffer()
}

export function palettePng(color: readonly number[]): Promise<Buffer> {
  return plain(color).png({ palette: true, colours: 4 }).toBuffer()
}

/** A colour of sRGB, stored in the numbers that it has in Display P3. */
export function displayP3Png(color: Rgb): Promise<Buffer> {
  return plain(color).withIccProfile('p3').png().toBuffer()
}

/** Frames of one colour each. */
export async function animated(format: 'gif' | 'webp', colors: readonly Rgb[]): Promise<Buffer> {
  const frames = await Promise.all(colors.map((color) => plain(color).png().toBuffer()))
  const joined = sharp(frames, { join: { animated: true } })
  return format === 'gif' ? joined.gif().toBuffer() : joined.webp({ lossless: true }).toBuffer()
}

/** Noise that compresses badly: a truncated file misses pixels, not only its end. */
export function noise(size: Size): Sharp {
  let state = 1
  // A linear congruential generator (Numerical Recipes): the same noise on every run.
  const next = () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0
    return state >>> 24
  }
  return paint(size, () => [next(), next(), next()])
}

interface PngHeader extends Size {
  depth: 8 | 16
  interlaced: boolean
}

/** An RGBA PNG that claims these sides; `data` is what its scan lines hold. */
export function craftedPng({ width, height, depth, interlaced }: PngHeader, data: Buffer): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, 6, 0, 0, interlaced ? 1 : 0], 8)
  return Buffer.concat([
    text('\x89PNG\r\n\x1a\n'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(data)),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([text(type), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, check])
}

/** A progressive JPEG without subsampling that claims these sides and holds a few blocks of them. */
export async function craftedProgressiveJpeg({ width, height }: Size): Promise<Buffer> {
  const jpeg = await plain(red).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer()
  const startOfFrame = jpeg.indexOf(Buffer.from([0xff, 0xc2]))
  jpeg.writeUInt16BE(height, startOfFrame + 5)
  jpeg.writeUInt16BE(width, startOfFrame + 7)
  return jpeg
}

/** An AVIF of 12,000 x 12,000 black pixels: whole, 2 kB long; making it takes 11 s, hence the constant. */
export function avif144Megapixels(): Buffer {
  return brotliDecompressSync(Buffer.from(blackAvif, 'base64'))
}

/** A HEIF file of another codec, as far as its brands tell. */
export function heicHeader(): Buffer {
  return text('\0\0\0\x18ftypheic\0\0\0\0mif1heic')
}

/** A file with AVIF's brands around a picture that says it is coded with HEVC. */
export async function relabelledAvif(): Promise<Buffer> {
  const avif = await plain(red).avif({ effort: 0 }).toBuffer()
  // An HEVCDecoderConfigurationRecord (ISO 14496-15) in place of AV1's four bytes.
  const record = Buffer.from(`0101${'00'.repeat(10)}1ef000fcfdf8f800000300`, 'hex')
  const at = avif.indexOf('av1C')
  const hevc = Buffer.concat([avif.subarray(0, at), text('hvcC'), record, avif.subarray(at + 8)])
  for (const box of ['hvcC', 'ipco', 'iprp', 'meta']) {
    const size = hevc.indexOf(box) - 4
    hevc.writeUInt32BE(hevc.readUInt32BE(size) + record.length - 4, size)
  }
  hevc.write('hvc1', hevc.indexOf('av01'), 'latin1')
  return hevc
}

/** Bytes as they are written in specifications: one for each character. */
export function text(content: string): Buffer {
  return Buffer.from(content, 'latin1')
}

const blackAvif = `
G6QHIGYIT7uJSDtZGQg8xMGbuuFmA5xtHZGr+K8VyAWySALQcKkGhHEgWb63p5k3Upoc1yT6i3YBAOjdgiP8HUNhNwAA8IHd
oND7wI5NwenTjRAkFYuHi3cgsH8YqgU4VtjbzxkMKgoARSCIfhUJwOyibDDs6xaADo+iXrmiyugYKgy5idAfDvYZxZjB/oH+
wJVQ5Oy3xXcMhZQT5OdJyeEgf1cASsH7LAXEC+BwOEXDVgBcyhj7bIFFAShoCaho/wRzyMfFMZgU4OLJf/e9m4ppRhehVUBU
EBATfXJKfv///0f3ewXgs7fJ+50m4saUba7ZYpkvqMry1VMUafTNj2YqQTDiroklKevH/zgsJE9907LkU8IfJ9Vvegj8XgVJ
QHv7Z8elrRIIDNg24c1MAbUh9BCjiD1Nk4BK9ybA4xTvhZwcM/QpXzT2KPvPR+b+1+7e+/QO3ha/gIpldy8pcTQJ94PfIYfG
+liT9VzUMUMHePTJka2K29hbKbQoV4cndFdqq2wDRE4GN1xJwc8GxDKn+t4fdgph3uefMo0GNLzD1MH+g4f/LjAQu6Z4V3/D
CNdFbyW75N2CNcfYUDws9zqO+zT78Tt9WsvXuVOelXKf6WLkv3prFRpTP9yc3MrLcl1f+2l7cb9NAIildU/pKCV8NqnQc4DO
du2Nu6voytxZ+5R5XZLW1viXO0gajjd5eeqqF4P3RvVlXvzaU9I7I8heA/nC6zb77Tcsj5sdZ7vmOC2JT08++3am3UYbH9re
/n+k3AoJMTbpuGcaSHwc+2j7n/rbG/+uXLZm2CZOVYY03nlvk4d0o4p043HX1e9jFEUWGb9SK8KCF4mUN8V2QqUngYrydRJa
nZsj32eiV4JUXNliV3oZsZrasMinLs6HHCNX2stQvKiaUte+8kr9RVYE4hCW/yhEyiV55Cb+ZrtOZAu6wLKz89LVEtdto05Q
x5feyed4PXJo71874OxhClEfewiMC3R8KY+idFq0dbbcEmWKw+Wj5d5AGu8koH90OJ+reJHw3BC/nk/u/c8=`
