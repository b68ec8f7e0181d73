// A picture whose connection breaks: by an origin that says where a body ends, and by one that does not.

import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import pino from 'pino'
import sharp from 'sharp'
import { presets } from '../../src/pipeline/presets.ts'
import { createStages, type Stages } from '../../src/pipeline/stages.ts'
import { openStorage } from '../../src/storage/open.ts'
import { pgliteEngine } from '../support/database.ts'
import { type Handler, type Origin, startOrigin } from '../support/origin.ts'
import { openTestOutbound } from '../support/outbound.ts'
import { makeFolder, openTestRenderer, unaborted } from '../support/renderer.ts'

describe('a picture that was cut', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let stages: Stages
  let folder: string
  let picture: Buffer
  before(async () => {
    folder = await makeFolder()
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 30 }
    const create = { width: 400, height: 300, channels: 3 as const, background: 'black', noise }
    picture = await sharp({ create }).jpeg().toBuffer()
    origin = stack.use(await startOrigin())
    stages = createStages({
      db: stack.use(await pgliteEngine.create()).database.db,
      outbound: stack.use(openTestOutbound()),
      renderer: stack.use(await openTestRenderer({ spoolDirectory: folder })).renderer,
      storage: stack.use(
        await openStorage({ kind: 'filesystem', directory: join(folder, 'objects') }),
      ),
      presets,
      download: { maxBytes: 1_000_000, timeoutMs: 10_000 },
      log: pino({ level: 'silent' }),
    })
  })
  after(() => stack.disposeAsync())

  /** The first bytes without a word of how many there are, and the end of the connection. */
  const unannounced = (bytes: number, end: 'fin' | 'rst' = 'fin'): Handler => {
    return async (_request, { socket }) => {
      assert.ok(socket)
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n')
      await new Promise((resolve) => socket.write(picture.subarray(0, bytes), resolve))
      if (end === 'fin') socket.end()
      else socket.resetAndDestroy()
    }
  }
  const codeOf = async (handler: Handler): Promise<unknown> => {
    origin.routes['/a.jpg'] = handler
    const run = stages.run({
      url: `${origin.url}/a.jpg`,
      path: join(folder, 'download'),
      progress: stages.begin(),
      signal: unaborted,
      wait: (turn) => turn,
    })
    return await run.then(
      () => 'ready',
      (error: { code: unknown }) => error.code,
    )
  }

  test('may come whole the next time where the end was not announced', async () => {
    for (const bytes of [2_000, Math.round(picture.length / 2), 0]) {
      assert.equal(await codeOf(unannounced(bytes)), 'download_truncated', String(bytes))
    }
    assert.equal(await codeOf(unannounced(9_000, 'rst')), 'download_truncated')
  })

  test('is damaged where it lies cut at its origin', async () => {
    const half = picture.subarray(0, picture.length / 2)
    assert.equal(await codeOf((_, response) => void response.end(half)), 'image_corrupt')
    const chunked: Handler = (_request, response) => {
      response.write(half)
      response.end()
    }
    assert.equal(await codeOf(chunked), 'image_corrupt')
  })

  test('is none when it came whole, whatever was announced', async () => {
    assert.equal(await codeOf(unannounced(picture.length)), 'ready')
  })
})
