import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  drip,
  type Handler,
  type Origin,
  redirect,
  stall,
  stallAfter,
  startOrigin,
  truncated,
} from '../../test/support/origin.ts'
import { openTestOutbound } from '../../test/support/outbound.ts'
import type { AppError } from '../errors.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { type DownloadOptions, download } from './download.ts'

const picture = randomBytes(300_000)

describe('a download', () => {
  let origin: Origin
  let outbound: Outbound
  let folder: string
  let path: string

  before(async () => {
    origin = await startOrigin()
    outbound = openTestOutbound()
    folder = await mkdtemp(join(tmpdir(), 'vitrine-download-'))
    path = join(folder, 'file')
  })
  after(async () => {
    await outbound[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
  })
  afterEach(() => rm(path, { recursive: true, force: true }))

  const fetchFile = (route: string, options: Partial<DownloadOptions> = {}) =>
    download(outbound, origin.url + route, {
      path,
      maxBytes: 1_000_000,
      timeoutMs: 20_000,
      signal: new AbortController().signal,
      ...options,
    })
  /** How it failed; and that it left nothing behind. */
  const failure = async (route: string, options: Partial<DownloadOptions> = {}) => {
    const error: AppError = await fetchFile(route, options).then(
      () => assert.fail('the download succeeded'),
      (error) => error,
    )
    assert.deepEqual(await readdir(folder), [])
    return error
  }

  it('writes the file and hashes it', async () => {
    origin.routes['/a'] = picture
    assert.deepEqual(await fetchFile('/a'), {
      bytes: picture.length,
      sha256: createHash('sha256').update(picture).digest('hex'),
      isEndAnnounced: true,
    })
    assert.deepEqual(await readFile(path), picture)
  })

  it('replaces what an earlier attempt left', async () => {
    await writeFile(path, randomBytes(500_000))
    origin.routes['/a'] = picture
    await fetchFile('/a')
    assert.deepEqual(await readFile(path), picture)
  })

  it('tells how far it is', async () => {
    origin.routes['/a'] = drip(picture, { bytes: 100_000, everyMs: 1 })
    const seen: object[] = []
    await fetchFile('/a', { onProgress: (facts) => seen.push(facts) })
    const [first, ...rest] = seen as { bytes?: number }[]
    assert.deepEqual([first, rest.at(-1)], [{ httpStatus: 200 }, { bytes: picture.length }])
    const bytes = rest.map(({ bytes = 0 }) => bytes)
    assert.deepEqual(
      bytes,
      bytes.toSorted((a, b) => a - b),
    )
  })

  it('may be exactly as large as the limit, announced or not', async () => {
    origin.routes['/announced'] = picture
    origin.routes['/chunked'] = drip(picture, { bytes: picture.length, everyMs: 0 })
    for (const route of ['/announced', '/chunked']) {
      assert.equal((await fetchFile(route, { maxBytes: picture.length })).bytes, picture.length)
    }
  })

  it('that announces too much ends, and its connection with it, before the first byte', async () => {
    const closed = Promise.withResolvers<void>()
    origin.routes['/a'] = (request, response) => {
      request.socket.once('close', closed.resolve)
      response.writeHead(200, { 'content-length': 1_000_001 }).write(picture)
    }
    const seen: object[] = []
    const error = await failure('/a', { onProgress: (facts) => seen.push(facts) })
    assert.deepEqual([error.code, seen], ['file_too_large', [{ httpStatus: 200 }]])
    assert.equal(error.message, 'The file is larger than 1 MiB.')
    await closed.promise
  })

  it('that sends too much without announcing it ends at the limit', async () => {
    const closed = Promise.withResolvers<void>()
    origin.routes['/a'] = (_request, response) => {
      response.once('close', closed.resolve)
      const more = () => {
        while (!response.destroyed && response.write(picture));
      }
      response.on('drain', more)
      more()
    }
    let seen = 0
    const error = await failure('/a', { onProgress: ({ bytes = 0 }) => (seen = bytes) })
    assert.deepEqual([error.code, error.httpStatus], ['file_too_large', 200])
    assert.ok(seen <= 1_000_000, `${seen}`)
    await closed.promise
  })

  it('that breaks off is not taken for the file', async () => {
    origin.routes['/a'] = truncated(picture, 100_000)
    const error = await failure('/a')
    assert.deepEqual([error.code, error.httpStatus], ['download_truncated', 200])
  })

  it('of which less came than was announced is not taken for the file', async () => {
    // As a client less strict than ours would hand it over.
    const lenient: Outbound = {
      get: async (url) => ({
        status: 200,
        headers: { 'content-length': '9' },
        isEndAnnounced: true,
        url,
        body: (async function* () {
          yield [Buffer.from('picture')]
        })(),
        [Symbol.dispose]: () => {},
      }),
      [Symbol.asyncDispose]: async () => {},
    }
    const signal = new AbortController().signal
    const options = { path, maxBytes: 100, timeoutMs: 1_000, signal }
    await assert.rejects(download(lenient, 'http://host.test/', options), {
      code: 'download_truncated',
      message: 'Only 7 of the 9 bytes that were announced arrived.',
    })
    assert.deepEqual(await readdir(folder), [])
  })

  it('of nothing is no picture', async () => {
    origin.routes['/announced'] = ''
    origin.routes['/chunked'] = drip(Buffer.alloc(0), { bytes: 1, everyMs: 0 })
    for (const route of ['/announced', '/chunked']) {
      const error = await failure(route)
      assert.deepEqual([error.code, error.httpStatus], ['not_an_image', 200])
    }
  })

  it('ends when its time is over, however steadily bytes come', async () => {
    origin.routes['/drip'] = drip(picture, { bytes: 10, everyMs: 10, length: true })
    origin.routes['/body'] = stallAfter(picture, 10)
    origin.routes['/stall'] = stall()
    for (const route of ['/drip', '/body', '/stall']) {
      const start = performance.now()
      const error = await failure(route, { timeoutMs: 300 })
      assert.equal(error.code, 'download_timeout')
      assert.equal(error.message, 'The download was not complete after 0.3 seconds.')
      assert.ok(performance.now() - start < 6_000)
    }
  })

  it('has its time for all redirects together', async () => {
    const slowly = (location: string): Handler => {
      return async (_request, response) => {
        await delay(150)
        response.writeHead(302, { location }).end()
      }
    }
    origin.routes['/1'] = slowly('/2')
    origin.routes['/2'] = slowly('/3')
    origin.routes['/3'] = slowly('/a')
    origin.routes['/a'] = picture
    assert.equal((await failure('/1', { timeoutMs: 300 })).code, 'download_timeout')
  })

  it('does not spend its time on waiting for a place at the origin', async () => {
    await using narrow = openTestOutbound({ perOrigin: 1 })
    origin.routes['/a'] = picture
    const signal = new AbortController().signal
    const first = await narrow.get(`${origin.url}/a`, { signal })
    const timer = delay(3_000).then(() => first[Symbol.dispose]())
    const options = { path, maxBytes: 1_000_000, timeoutMs: 1_500, signal }
    const { bytes } = await download(narrow, `${origin.url}/a`, options)
    assert.equal(bytes, picture.length)
    await timer
  })

  it('rejects with the reason of its signal, at once, wherever it is', async () => {
    const reason = new Error('lease lost')
    origin.routes['/stall'] = stall()
    origin.routes['/body'] = stallAfter(picture, 100_000)
    for (const route of ['/stall', '/body']) {
      const abort = new AbortController()
      const failed = failure(route, { signal: abort.signal })
      await origin.asked(route)
      const start = performance.now()
      abort.abort(reason)
      assert.equal(await failed, reason)
      assert.ok(performance.now() - start < 6_000)
    }
    assert.equal(await failure('/body', { signal: AbortSignal.abort(reason) }), reason)
  })

  it('that cannot be written is our own fault', async (t) => {
    origin.routes['/a'] = picture
    const missing = join(folder, 'missing', 'file')
    assert.equal((await failure('/a', { path: missing })).code, 'storage_failed')
    if (process.platform !== 'linux') return t.diagnostic('no full disk to write to')
    await symlink('/dev/full', path)
    assert.equal((await failure('/a')).code, 'storage_failed')
  })

  it('keeps the failure of the request, and writes nothing', async () => {
    origin.routes['/moved'] = redirect('http://10.0.0.1/')
    assert.equal((await failure('/none')).code, 'origin_not_found')
    assert.equal((await failure('/moved')).code, 'url_not_allowed')
  })
})
