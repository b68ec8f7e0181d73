// Pictures to process, and an origin that serves each under any number of names as different files:
// the service renders equal files only once.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { type Origin, startOrigin } from '../test/support/origin.ts'

/** A photo of 2725x2225: the real one from PICTURES_DIR, or noise of the same size on disk. */
export async function largePicture(): Promise<{ name: string; body: Buffer }> {
  const directory = process.env.PICTURES_DIR
  if (directory !== undefined) {
    const name = '2569067123_aca715a2ee_o.jpg'
    return { name, body: await readFile(join(directory, name)) }
  }
  const body = await noise({ width: 2725, height: 2225, bytes: 829_183 })
  return { name: 'noise of 2725x2225', body }
}

/** About 100 KB. */
export async function smallPicture(): Promise<Buffer> {
  return await noise({ width: 1024, height: 768, bytes: 100_000 })
}

/** Blurred noise, as hard to compress as makes the file about this large. */
async function noise(options: { width: number; height: number; bytes: number }): Promise<Buffer> {
  const { width, height, bytes } = options
  const raw = await sharp({
    create: {
      width,
      height,
      channels: 3,
      background: 'grey',
      noise: { type: 'gaussian', mean: 128, sigma: 40 },
    },
  })
    .blur(2)
    .raw()
    .toBuffer()
  let best = Buffer.alloc(0)
  for (let quality = 95; quality >= 20; quality -= 5) {
    best = await sharp(raw, { raw: { width, height, channels: 3 } })
      .jpeg({ quality })
      .toBuffer()
    if (best.length <= bytes) break
  }
  return best
}

export interface PictureOrigin extends AsyncDisposable {
  /** URLs of that many pictures that were never served before. */
  fresh(count: number): string[]
}

export async function startPictureOrigin(body: Buffer): Promise<PictureOrigin> {
  const origin: Origin = await startOrigin()
  let served = 0
  const next = () => {
    const path = `/${++served}.jpg`
    const variant = withComment(body, `bench ${process.pid} ${served}`)
    origin.routes[path] = (_request, response) => {
      response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': variant.length })
      response.end(variant)
      delete origin.routes[path]
    }
    return origin.url + path
  }
  return {
    fresh: (count) => Array.from({ length: count }, next),
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  }
}

/** The same picture in other bytes: a JPEG comment after the start of the image. */
function withComment(jpeg: Buffer, comment: string): Buffer {
  const text = Buffer.from(comment)
  const marker = Buffer.from([0xff, 0xfe, 0, 0])
  marker.writeUInt16BE(text.length + 2, 2)
  return Buffer.concat([jpeg.subarray(0, 2), marker, text, jpeg.subarray(2)])
}
