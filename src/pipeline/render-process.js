// A picture child: reads headers and makes renditions, one request at a time. It is the only place where
// hostile bytes meet native code. It gets paths of files to read, writes nothing but frames to stdout,
// and does not outlive its parent. Arguments: the memory it may use, bytes.

import sharp from 'sharp'
import { createFrameReader, encodeFrame } from './render-protocol.js'

/** @import { PictureHeader, RenderRequest } from './render-messages.ts' */
/** @import { OutputInfo, Sharp, SharpOptions } from 'sharp' */
/** @typedef {{ data: Buffer, info: OutputInfo }} Pixels */

const maxRssBytes = Number(process.argv[2])

// Looked at while libvips works in its own thread. 25 ms bound what it can take beyond the limit.
const watchIntervalMs = 25

// What libvips only warns of, and leaves black in the picture: it gives out of memory as a picture that
// is whole, now and then.
const loss = /out of memory|error in tile/i

// One picture at a time and nothing kept from one to the next.
sharp.cache(false)
sharp.concurrency(1)
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadJpeg',
    'VipsForeignLoadPng',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadHeif',
  ],
})

/**
 * What was lost of the picture in hand.
 *
 * @type {string[]}
 */
let losses = []

/**
 * @param {string | Buffer} input
 * @param {SharpOptions} options
 */
function watched(input, options) {
  return sharp(input, options).on('warning', (text) => {
    if (loss.test(text)) losses.push(text)
  })
}

/**
 * @param {string} path
 * @param {number | false} limitInputPixels
 */
function open(path, limitInputPixels) {
  // 'error' refuses truncated and undecodable files, and lets pass what 'warning' would refuse as
  // well: the harmless oddities of many cameras, such as bytes between a JPEG's segments.
  return watched(path, { failOn: 'error', autoOrient: true, limitInputPixels })
}

/**
 * @param {string} path
 * @returns {Promise<PictureHeader>}
 */
async function inspect(path) {
  const header = await open(path, false).metadata()
  return {
    format: header.format,
    ...(header.compression ? { compression: header.compression } : {}),
    width: header.autoOrient.width,
    height: header.autoOrient.height,
    frames: header.pages ?? 1,
    channels: header.channels,
    depth: header.depth,
    interlaced: header.isProgressive,
    ...(header.chromaSubsampling ? { chromaSubsampling: header.chromaSubsampling } : {}),
  }
}

/** @param {Extract<RenderRequest, { op: 'render' }>} request */
async function render({ path, presets, maxPixels, previewSide }) {
  const picture = open(path, maxPixels)
  const { autoOrient: source } = await picture.metadata()
  const sizes = presets
    .map((preset) => ({ preset, ...fitInside(source, preset) }))
    .sort((a, b) => b.width * b.height - a.width * a.height)
  const largest = sizes[0]
  if (!largest) throw new Error('nothing was asked for')
  // Decoded once; every other size is made from the size above it.
  const first = await toRgb(picture.resize(largest.width, largest.height, { fit: 'fill' }))
  let pixels = first
  const files = []
  for (const { preset, width, height } of sizes) {
    pixels = await shrink(pixels, { width, height })
    const body = await fromRgb(pixels).jpeg({ quality: preset.quality }).toBuffer()
    files.push({ preset: preset.name, width, height, body })
  }
  const preview = fitInside(first.info, { width: previewSide, height: previewSide })
  return { files, preview: await shrink(first, preview) }
}

/**
 * Upright, sRGB, 8 bits, three channels, on white. libvips applies the embedded profile, or the usual
 * one of CMYK, on the way.
 *
 * @param {Sharp} picture
 * @returns {Promise<Pixels>}
 */
function toRgb(picture) {
  return picture
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
}

/** @param {Pixels} pixels */
function fromRgb({ data, info: { width, height, channels } }) {
  return watched(data, { raw: { width, height, channels } })
}

/**
 * @param {Pixels} pixels
 * @param {{ width: number, height: number }} size
 */
async function shrink(pixels, { width, height }) {
  if (pixels.info.width === width && pixels.info.height === height) return pixels
  return toRgb(fromRgb(pixels).resize(width, height, { fit: 'fill' }))
}

/**
 * The size of a picture in a box: never enlarged, never less than a pixel.
 *
 * @param {{ width: number, height: number }} source
 * @param {{ width: number, height: number }} box
 */
function fitInside(source, box) {
  const scale = Math.min(1, box.width / source.width, box.height / source.height)
  return {
    width: Math.max(1, Math.round(source.width * scale)),
    height: Math.max(1, Math.round(source.height * scale)),
  }
}

/** @param {RenderRequest} request */
async function answer(request) {
  if (request.op === 'inspect') return encodeFrame(await inspect(request.path))
  const { files, preview } = await render(request)
  const { width, height } = preview.info
  const message = {
    files: files.map(({ body, ...file }) => ({ ...file, bytes: body.length })),
    preview: { width, height },
  }
  return encodeFrame(message, Buffer.concat([...files.map(({ body }) => body), preview.data]))
}

/** @param {RenderRequest} request */
async function serve(request) {
  const watchdog = setInterval(watchMemory, watchIntervalMs)
  losses = []
  try {
    const frame = await answer(request)
    if (losses.length > 0) throw new Error('parts of the picture are lost')
    process.stdout.write(frame)
  } catch (error) {
    // The losses first: they are the cause, and an error that follows from them may not name it.
    const failed = [...losses, error].join('\n').slice(0, 4000)
    process.stdout.write(encodeFrame({ failed }))
  } finally {
    clearInterval(watchdog)
  }
}

/** The parent knows this signal for ours: SIGKILL could as well come from anybody else. */
function watchMemory() {
  if (process.memoryUsage.rss() > maxRssBytes) process.kill(process.pid, 'SIGUSR2')
}

// An exit by `process.exit` would wait for native code that is busy, for seconds.
function die() {
  process.kill(process.pid, 'SIGKILL')
}

const readFrames = createFrameReader({ maxMessageBytes: 65_536, maxBodyBytes: 0 })
process.stdin.on('data', (chunk) => {
  for (const { message } of readFrames(chunk)) serve(/** @type {RenderRequest} */ (message))
})
process.stdin.on('end', die).on('error', die)
process.stdout.on('error', die)
process.stdout.write(encodeFrame({ ready: true }))
