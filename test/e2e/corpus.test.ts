// Real pictures through the whole service: posted by URL, fetched from a local origin, published. The folder
// is no part of the project; PICTURES_DIR names it, and its manifest says what becomes of each.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import type { ImageDocument } from '../../src/images/image.ts'
import { file, type Origin, startOrigin } from '../support/origin.ts'
import { skipUnlessRequired } from '../support/required.ts'
import {
  makeDataFolder,
  postProduct,
  type Service,
  settled,
  startService,
} from '../support/service.ts'

interface CorpusFile {
  file: string
  status: 'ready' | 'failed'
  /** Of the rendition, give or take a pixel. */
  width?: number
  height?: number
  code?: string
}

const MAX_PICTURES = 20

const folder = process.env.PICTURES_DIR
const skip = skipUnlessRequired('pictures', folder ? undefined : 'PICTURES_DIR is not set')

describe('the service makes of real pictures what the manifest says', { skip }, () => {
  if (folder === undefined) return
  const { files }: { files: CorpusFile[] } = JSON.parse(
    readFileSync(join(folder, 'manifest.json'), 'utf8'),
  )
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let service: Service
  const images = new Map<string, ImageDocument>()
  before(async () => {
    const routes = files.map((entry) => [`/${entry.file}`, file(join(folder, entry.file))])
    origin = stack.use(await startOrigin(Object.fromEntries(routes)))
    const { path } = stack.use(await makeDataFolder())
    service = stack.use(await startService({ DATA_DIR: path, OUTBOUND_ALLOW: '127.0.0.1/32' }))
    const products = []
    for (let at = 0; at < files.length; at += MAX_PICTURES) {
      const urls = files.slice(at, at + MAX_PICTURES).map((entry) => `${origin.url}/${entry.file}`)
      products.push(await postProduct(service, urls))
    }
    for (const { id } of products) {
      const product = await settled(service, id)
      for (const image of product.images) images.set(image.source_url, image)
      assert.deepEqual(
        product.compressed_product_images,
        product.images.flatMap(({ renditions }) => renditions.map(({ url }) => url)),
        'in picture order, whatever finished first',
      )
    }
  })
  after(() => stack.disposeAsync())

  for (const entry of files) {
    test(`${entry.file}: ${entry.code ?? `${entry.width}x${entry.height}`}`, async () => {
      const image = images.get(`${origin.url}/${entry.file}`)
      assert.ok(image)
      assert.deepEqual([image.status, image.error?.code], [entry.status, entry.code])
      assert.equal(image.attempts, 1)
      if (entry.status === 'failed') return assert.deepEqual(image.renditions, [])
      const [rendition] = image.renditions
      assert.ok(rendition)
      const response = await fetch(rendition.url.replace('localhost', '127.0.0.1'))
      const published = await sharp(Buffer.from(await response.arrayBuffer())).metadata()
      for (const { width, height, format } of [rendition, published]) {
        assert.equal(format, 'jpeg')
        assert.ok(Math.abs(width - (entry.width ?? 0)) <= 1, `width ${width}`)
        assert.ok(Math.abs(height - (entry.height ?? 0)) <= 1, `height ${height}`)
      }
    })
  }
})
