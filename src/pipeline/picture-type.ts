// Tells from a file's first bytes what it is, without decoding: only the five accepted formats ever
// reach libvips, and what is a picture of another kind can be named to the client.

import { open } from 'node:fs/promises'
import { AppError } from '../errors.ts'
import type { PictureFormat } from './renderer.ts'

/** Enough for every signature, for the brands of an ISO media file, and for the preamble of most SVGs. */
const sniffedBytes = 4096

type Signature = readonly [format: string, offset: number, ...alternatives: string[]]

/** Bytes as latin1 text, so that a signature reads as it is written in its specification. */
const acceptedSignatures: readonly (readonly [PictureFormat, number, ...string[]])[] = [
  ['jpeg', 0, '\xff\xd8\xff'],
  ['png', 0, '\x89PNG\r\n\x1a\n'],
  ['gif', 0, 'GIF87a', 'GIF89a'],
]

const refusedSignatures: readonly Signature[] = [
  ['TIFF', 0, 'II*\0', 'MM\0*', 'II+\0', 'MM\0+'],
  ['PDF', 0, '%PDF-'],
  ['PostScript', 0, '%!PS'],
  ['JPEG 2000', 0, '\0\0\0\x0cjP  \r\n\x87\n', '\xff\x4f\xff\x51'],
  ['JPEG XL', 0, '\0\0\0\x0cJXL \r\n\x87\n', '\xff\x0a'],
  ['Windows icon', 0, '\0\0\x01\0', '\0\0\x02\0'],
  ['Photoshop', 0, '8BPS'],
  ['GIMP', 0, 'gimp xcf'],
  ['OpenEXR', 0, '\x76\x2f\x31\x01'],
  ['Radiance HDR', 0, '#?RADIANCE', '#?RGBE'],
  ['FITS', 0, 'SIMPLE  ='],
  ['QOI', 0, 'qoif'],
  ['DirectDraw', 0, 'DDS '],
]

const avifBrands = ['avif', 'avis']
const heifBrands = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs', 'mif1', 'msf1']
/** Sizes of the header that follows a bitmap file's own: `BM` alone also begins plain text. */
const bitmapHeaderBytes = [12, 40, 52, 56, 64, 108, 124]

/**
 * Reads the first bytes of a file. Throws `unsupported_format` for a picture of a format that is not
 * accepted, `not_an_image` for anything else.
 */
export async function formatOfFile(path: string): Promise<PictureFormat> {
  const start = await readStart(path)
  const format = sniff(start)
  if (format) return format
  const refused = refusedFormat(start)
  if (!refused) {
    throw new AppError('not_an_image', 'The file is not a picture of a known format.')
  }
  throw new AppError('unsupported_format', `${refused} files are not accepted.`)
}

/** The accepted format that the bytes begin like, if any. */
export function sniff(bytes: Uint8Array): PictureFormat | undefined {
  const text = textOf(bytes)
  const signed = acceptedSignatures.find((signature) => matches(text, signature))
  if (signed) return signed[0]
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return 'webp'
  return brandsOf(text).some((brand) => avifBrands.includes(brand)) ? 'avif' : undefined
}

function refusedFormat(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes)
  const signed = refusedSignatures.find((signature) => matches(text, signature))
  if (signed) return signed[0]
  if (brandsOf(text).some((brand) => heifBrands.includes(brand))) return 'HEIF'
  if (text.startsWith('BM') && bitmapHeaderBytes.includes(text.charCodeAt(14))) return 'Bitmap'
  if (/^P[1-7]\s/.test(text)) return 'Netpbm'
  return isSvg(text) ? 'SVG' : undefined
}

/** The major and compatible brands of an ISO media file (ISO 14496-12, `ftyp`). */
function brandsOf(text: string): string[] {
  if (!text.startsWith('ftyp', 4)) return []
  // The box's length; its upper two bytes are zero in any real file.
  const end = Math.min(text.length, text.charCodeAt(2) * 256 + text.charCodeAt(3))
  const brands = [text.slice(8, 12)]
  for (let at = 16; at + 4 <= end; at += 4) brands.push(text.slice(at, at + 4))
  return brands
}

function isSvg(text: string): boolean {
  const start = text.replace(/^\xef\xbb\xbf/, '').trimStart()
  return start.startsWith('<') && /<svg[\s>]/i.test(start) && !/<html[\s>]/i.test(start)
}

function matches(text: string, [, offset, ...alternatives]: Signature): boolean {
  return alternatives.some((alternative) => text.startsWith(alternative, offset))
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, sniffedBytes)).toString(
    'latin1',
  )
}

async function readStart(path: string): Promise<Uint8Array> {
  await using file = await open(path, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(sniffedBytes), 0, sniffedBytes, 0)
  return buffer.subarray(0, bytesRead)
}
