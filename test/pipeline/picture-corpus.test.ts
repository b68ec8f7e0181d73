// Real pictures from a folder with a manifest that says what the default preset makes of each. The folder
// is no part of the project; PICTURES_DIR names it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { type AppError, isAppError } from '../../src/errors.ts'
import { presets } from '../../src/pipeline/presets.ts'
import { openTestRenderer, type TestRenderer, unaborted } from '../support/renderer.ts'
import { skipUnlessRequired } from '../support/required.ts'

interface CorpusFile {
  file: string
  format: string
  status: 'ready' | 'failed'
  /** Stored sides. */
  source?: [width: number, height: number]
  orientation?: number
  frames?: number
  /** Of the rendition, give or take a pixel. */
  width?: number
  height?: number
  code?: string
}

const folder = process.env.PICTURES_DIR
const skip = skipUnlessRequired('pictures', folder ? undefined : 'PICTURES_DIR is not set')

describe('the default preset makes of real pictures what the manifest says', { skip }, () => {
  if (folder === undefined) return
  const manifest: { files: CorpusFile[] } = JSON.parse(
    readFileSync(join(folder, 'manifest.json'), 'utf8'),
  )
  let children: TestRenderer
  before(async () => {
    children = await openTestRenderer()
  })
  after(() => children[Symbol.asyncDispose]())

  const place = async (entry: CorpusFile) =>
    children.place(await readFile(join(folder, entry.file)))

  for (const entry of manifest.files) {
    test(`${entry.file}: ${entry.code ?? entry.status}`, async () => {
      const path = await place(entry)
      if (entry.status === 'ready') return isReady(entry, path)
      return assert.rejects(processFile(path), (error: AppError) => {
        assert.ok(isAppError(error))
        assert.equal(error.code, entry.code)
        return true
      })
    })
  }

  async function processFile(path: string) {
    const inspection = await children.renderer.inspect(path, { signal: unaborted })
    return { inspection, ...(await children.renderer.render(path, presets, { signal: unaborted })) }
  }

  async function isReady(entry: CorpusFile, path: string): Promise<void> {
    const { inspection, files, thumbhash } = await processFile(path)
    const [width = 0, height = 0] = entry.source ?? []
    const turned = (entry.orientation ?? 1) > 4
    assert.deepEqual(inspection, {
      format: entry.format,
      width: turned ? height : width,
      height: turned ? width : height,
      frames: entry.frames ?? 1,
    })
    const rendered = await sharp(files[0]!.body).metadata()
    assert.equal(rendered.format, 'jpeg')
    assert.ok(Math.abs(rendered.width - (entry.width ?? 0)) <= 1, `width ${rendered.width}`)
    assert.ok(Math.abs(rendered.height - (entry.height ?? 0)) <= 1, `height ${rendered.height}`)
    assert.ok(thumbhash.length > 4)
  }
})
