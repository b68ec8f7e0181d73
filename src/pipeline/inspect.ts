// Judges a picture by its header, before anything of it is decoded. Runs in the parent: the child only
// reads the header out, the limits are not its to keep.

import { AppError } from '../errors.ts'
import type { PictureHeader } from './render-messages.ts'
import type { Inspection, PictureFormat } from './renderer.ts'

export interface PictureLimits {
  /** Area of one frame. */
  maxPixels: number
  /** Each side, pixels. A strip of 8,000,000 x 2 has few pixels, but its rows alone fill a gigabyte. */
  maxSide: number
  maxFrames: number
  /** Estimated memory of the child while it decodes, bytes. */
  maxDecodeBytes: number
}

/** A child that has loaded libvips and decoded nothing. */
const baseBytes = 36e6

/**
 * Throws `too_many_pixels` (by area, side or estimated memory), `too_many_frames`, `unsupported_format`
 * (AVIF's container around another codec), `image_corrupt` (content and signature disagree).
 */
export function judgeHeader(
  format: PictureFormat,
  header: PictureHeader,
  limits: PictureLimits,
): Inspection {
  requireFormat(format, header)
  const { width, height, frames } = header
  if (Math.max(width, height) > limits.maxSide) {
    throw tooManyPixels(header, `a side may have at most ${limits.maxSide}`)
  }
  if (width * height > limits.maxPixels) {
    throw tooManyPixels(header, `at most ${limits.maxPixels} in all are accepted`)
  }
  if (frames > limits.maxFrames) {
    const detail = `The picture has ${frames} frames, at most ${limits.maxFrames} are accepted.`
    throw new AppError('too_many_frames', detail)
  }
  if (decodeBytes(format, header) > limits.maxDecodeBytes) {
    throw tooManyPixels(
      header,
      `decoding that many of this kind of ${format} takes too much memory`,
    )
  }
  return { format, width, height, frames }
}

/** Estimates the child's peak memory while it decodes the first frame, bytes. */
export function decodeBytes(format: PictureFormat, header: PictureHeader): number {
  return baseBytes + header.width * header.height * bytesPerPixel(format, header)
}

/**
 * Measured on libvips 8.18 (peak of the whole process over 64 million pixels, 24 for AVIF), rounded up.
 * What streams stays under 2 bytes a pixel at any size, rotation by EXIF included.
 */
function bytesPerPixel(format: PictureFormat, header: PictureHeader): number {
  const sampleBytes = header.depth === 'uchar' ? 1 : 2
  switch (format) {
    case 'avif':
      // 18.9 at 8 bits, 25.3 at 10.
      return sampleBytes === 1 ? 20 : 26
    case 'gif':
      // The frame and the canvas: 4.9, of an animation 5.8.
      return 6
    case 'webp':
      // Lossless 4.1; lossy streams, but the header does not tell them apart.
      return 5
    case 'png':
      // Adam7 is put together in memory: 3.6 for RGB, 9.1 for RGBA of 16 bits.
      return header.interlaced ? 1.2 * header.channels * sampleBytes : 2
    case 'jpeg':
      // All coefficients of a progressive picture are kept, two bytes each: 3.1, 6.1, CMYK 8.2.
      return header.interlaced ? 2.1 * samplesPerPixel(header) : 2
  }
}

/** Samples of a JPEG's components per pixel. */
function samplesPerPixel({ channels, chromaSubsampling }: PictureHeader): number {
  return channels === 3 && chromaSubsampling === '4:2:0' ? 1.5 : channels
}

function requireFormat(format: PictureFormat, header: PictureHeader): void {
  if (format === 'avif') {
    // The same container carries HEVC: only what AV1 coded is accepted.
    if (header.format === 'heif' && header.compression === 'av1') return
    throw new AppError('unsupported_format', 'The file is HEIF, but not coded as AVIF.')
  }
  if (header.format === format) return
  throw new AppError('image_corrupt', `The file begins like ${format}, but is not.`)
}

function tooManyPixels({ width, height }: PictureHeader, rule: string): AppError {
  return new AppError('too_many_pixels', `The picture has ${width} x ${height} pixels; ${rule}.`)
}
