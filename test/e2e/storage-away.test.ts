// G7: the folder of the stored files goes away and comes back. Pictures wait for it without paying.

import assert from 'node:assert/strict'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Composed, startComposed } from '../support/composed.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import { getProduct, makeDataFolder, postProduct, settled } from '../support/service.ts'

describe('G7: a service whose storage goes away', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let service: Composed
  before(async () => {
    origin = stack.use(await startOrigin())
    origin.routes['/1.jpg'] = await jpeg(60, 50, 'pink')
    origin.routes['/2.jpg'] = await jpeg(60, 50, 'gray')
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    service = stack.use(await startComposed({ DATA_DIR, OUTBOUND_ALLOW: '127.0.0.1/32' }))
  })
  after(() => stack.disposeAsync())

  /** A file where the folder was: nobody can write below that, root neither. */
  const takeAway = async () => {
    const folder = join(service.dataDir, 'objects')
    await rename(folder, `${folder}.away`)
    await writeFile(folder, '')
    return async () => {
      await rm(folder)
      await rename(`${folder}.away`, folder)
    }
  }

  test('tries again without counting, says so, and publishes what it has when it is back', async () => {
    const bringBack = await takeAway()
    const { id } = await postProduct(service, [`${origin.url}/1.jpg`, `${origin.url}/2.jpg`])
    await eventually(async () => {
      const { images, processing_status } = await getProduct(service, id)
      assert.equal(processing_status, 'processing')
      for (const { status, attempts, error } of images) {
        assert.deepEqual(
          [status, attempts, error?.code, error?.stage, error?.retryable],
          ['retry_scheduled', 0, 'storage_failed', 'store', true],
        )
        assert.ok(!error?.detail.includes(service.dataDir), 'no path of ours is told')
      }
    })
    const ready = await fetch(`${service.url}/readyz`)
    const { status, failing } = (await ready.json()) as { status: string; failing: string[] }
    assert.deepEqual([ready.status, status, failing], [503, 'not_ready', ['storage']])

    await bringBack()
    const { images, processing_status, compressed_product_images } = await settled(service, id)
    assert.equal(processing_status, 'completed')
    assert.deepEqual(
      images.map(({ attempts, error }) => [attempts, error]),
      [
        [1, null],
        [1, null],
      ],
    )
    for (const url of compressed_product_images) {
      assert.equal((await fetch(url.replace('localhost', '127.0.0.1'))).status, 200)
    }
    const response = await fetch(`${service.url}/images/${images[0]!.id}/attempts`)
    const { data } = (await response.json()) as { data: { outcome: string; code: string | null }[] }
    assert.deepEqual(
      [data[0]!.outcome, data[0]!.code, data.at(-1)!.outcome],
      ['retry_scheduled', 'storage_failed', 'ready'],
    )
    await eventually(async () => assert.equal((await fetch(`${service.url}/readyz`)).status, 200))
  })
})
