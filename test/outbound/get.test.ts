import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { AppError, ImageErrorCode } from '../../src/errors.ts'
import type { Outbound } from '../../src/outbound/outbound.ts'
import { eventually } from '../support/eventually.ts'
import {
  drip,
  hangUp,
  type Origin,
  raw,
  redirect,
  stall,
  stallAfter,
  startOrigin,
  status,
  truncated,
} from '../support/origin.ts'
import { openTestOutbound } from '../support/outbound.ts'

const never = new AbortController().signal
const switching = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'
const twoLengths = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!'

describe('a guarded GET', () => {
  let origin: Origin
  let outbound: Outbound

  before(async () => {
    origin = await startOrigin()
    outbound = openTestOutbound({ names: { 'pictures.test': ['127.0.0.1'] } })
  })
  after(async () => {
    await outbound[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  })

  const failure = (path: string) => failureOf(outbound, origin.url + path)

  it('answers with status, headers and body', async () => {
    origin.routes['/a.jpg'] = status(200, { 'content-type': 'image/jpeg' }, 'picture')
    using response = await outbound.get(`${origin.url}/a.jpg?size=1`, { signal: never })
    assert.equal(response.status, 200)
    assert.equal(response.headers['content-type'], 'image/jpeg')
    assert.equal(origin.requests.at(-1)?.url, '/a.jpg?size=1')
    assert.equal(await textOf(response.body), 'picture')
  })

  it('says who asks, asks for unencoded bytes, and sends nothing else', async () => {
    origin.routes['/headers'] = 'x'
    await read(outbound, `${origin.url}/headers`)
    const { host, connection, ...headers } = origin.requests.at(-1)?.headers ?? {}
    assert.equal(host, `127.0.0.1:${origin.port}`)
    assert.equal(connection, 'keep-alive')
    assert.deepEqual(headers, {
      'user-agent': 'Vitrine/0.0.0-test (product pictures)',
      accept: 'image/*, */*;q=0.5',
      'accept-encoding': 'identity',
    })
  })

  const codes: readonly (readonly [number, ImageErrorCode])[] = [
    [201, 'origin_refused'],
    [204, 'origin_refused'],
    [205, 'origin_refused'],
    [206, 'origin_refused'],
    [300, 'origin_refused'],
    [302, 'origin_refused'], // without a Location
    [304, 'origin_refused'],
    [400, 'origin_refused'],
    [401, 'origin_forbidden'],
    [403, 'origin_forbidden'],
    [404, 'origin_not_found'],
    [407, 'origin_refused'],
    [410, 'origin_not_found'],
    [418, 'origin_refused'],
    [429, 'origin_rate_limited'],
    [451, 'origin_refused'],
    [500, 'origin_error'],
    [503, 'origin_error'],
    [599, 'origin_error'],
  ]
  for (const [code, expected] of codes) {
    it(`fails with ${expected} on ${code}, which stands in the error`, async () => {
      origin.routes['/status'] = status(code)
      const error = await failure('/status?token=secret')
      assert.deepEqual([error.code, error.httpStatus], [expected, code])
      assert.match(error.message, new RegExp(`^127\\.0\\.0\\.1 answered with status ${code}`))
      assert.doesNotMatch(error.message, /secret/)
    })
  }

  it('takes a 203 for the file it is', async () => {
    origin.routes['/203'] = status(203, {}, 'picture')
    assert.equal(await read(outbound, `${origin.url}/203`), 'picture')
  })

  it('passes on how long the origin wants us to wait', async () => {
    origin.routes['/429'] = status(429, { 'retry-after': '120' })
    origin.routes['/503'] = status(503, { 'retry-after': '7200' })
    const inAMinute = new Date(Date.now() + 60_000).toUTCString()
    origin.routes['/date'] = status(429, { 'retry-after': inAMinute })
    origin.routes['/none'] = status(429)
    assert.equal((await failure('/429')).retryAfterMs, 120_000)
    assert.equal((await failure('/503')).retryAfterMs, 3_600_000)
    const wait = (await failure('/date')).retryAfterMs ?? 0
    assert.ok(wait > 50_000 && wait <= 60_000, `${wait}`)
    assert.equal((await failure('/none')).retryAfterMs, undefined)
  })

  it('refuses an encoded body', async () => {
    const body = gzipSync('picture')
    for (const encoding of ['gzip', 'br', 'GZIP, identity', 'x']) {
      origin.routes['/encoded'] = status(200, { 'content-encoding': encoding }, body)
      const error = await failure('/encoded')
      assert.deepEqual([error.code, error.httpStatus], ['origin_refused', 200])
    }
    origin.routes['/encoded'] = status(200, { 'content-encoding': 'identity' }, 'picture')
    assert.equal(await read(outbound, `${origin.url}/encoded`), 'picture')
  })

  describe('redirects', () => {
    it('are followed, relative and absolute, over all five codes', async () => {
      origin.routes['/end/picture.jpg'] = 'picture'
      for (const code of [301, 302, 303, 307, 308]) {
        origin.routes['/start'] = redirect('/end/x/../a?b=c', code)
        origin.routes['/end/a'] = redirect('./picture.jpg', code)
        assert.equal(await read(outbound, `${origin.url}/start`), 'picture')
        assert.deepEqual(
          origin.requests.slice(-3).map(({ url }) => url),
          ['/start', '/end/a?b=c', '/end/picture.jpg'],
        )
      }
    })

    it('may be as many as the limit, and not one more', async () => {
      for (const n of [1, 2, 3, 4]) origin.routes[`/hop${n}`] = redirect(`/hop${n - 1}`)
      origin.routes['/hop0'] = 'picture'
      assert.equal(await read(outbound, `${origin.url}/hop3`), 'picture')
      const asked = origin.count('/hop0')
      const error = await failure('/hop4')
      assert.deepEqual([error.code, error.httpStatus], ['too_many_redirects', 302])
      assert.equal(origin.count('/hop0'), asked)
    })

    it('that go in circles end', async () => {
      origin.routes['/circle'] = redirect('/circle')
      assert.equal((await failure('/circle')).code, 'too_many_redirects')
    })

    it('may have names and paths beyond ASCII, in raw UTF-8 too', async () => {
      origin.routes['/raw'] = raw('HTTP/1.1 302 Found\r\nlocation: /größe.jpg\r\n\r\n')
      origin.routes['/gr%C3%B6%C3%9Fe.jpg'] = 'picture'
      assert.equal(await read(outbound, `${origin.url}/raw`), 'picture')
    })

    const refused = [
      'http://127.0.0.2/',
      'http://169.254.169.254/latest/meta-data/',
      'http://2130706434/',
      '//10.0.0.1/',
      'http://[::1]/',
      'http://pictures.test:22/',
      'http://user:secret@pictures.test/',
      'file:///etc/passwd',
      'ftp://pictures.test/a.jpg',
      'data:image/png;base64,iVBORw0KGgo=',
    ]
    for (const location of refused) {
      it(`to ${location} are refused at any hop, whatever came before`, async () => {
        origin.routes['/r1'] = redirect('/r2')
        origin.routes['/r2'] = redirect(location)
        for (const start of ['/r2', '/r1']) {
          const error = await failure(start)
          assert.deepEqual([error.code, error.httpStatus], ['url_not_allowed', 302])
          assert.match(
            error.message,
            /^127\.0\.0\.1 redirects to a URL that is not allowed: it must/,
          )
        }
      })
    }

    it('to something that is no URL are refused', async () => {
      origin.routes['/bad'] = redirect('http://[')
      assert.equal((await failure('/bad')).code, 'origin_refused')
    })

    it('with a body that never ends are followed at once', async () => {
      origin.routes['/endless'] = (_request, response) => {
        response.writeHead(302, { location: '/hop0' })
        response.write('never the last byte')
      }
      origin.routes['/hop0'] = 'picture'
      assert.equal(await read(outbound, `${origin.url}/endless`), 'picture')
    })
  })

  describe('an origin that misbehaves', () => {
    const cases: readonly (readonly [string, ImageErrorCode, Origin['routes'][string]])[] = [
      ['hangs up without a word', 'connect_failed', hangUp()],
      ['does not speak HTTP', 'origin_error', raw('SSH-2.0-OpenSSH_9.2\r\n')],
      ['sends endless headers', 'origin_error', headersOf(40_000)],
      ['switches protocols unasked', 'origin_error', raw(switching)],
      ['goes on unasked', 'origin_error', raw('HTTP/1.1 100 Continue\r\n\r\n')],
      ['has no such status', 'origin_error', raw('HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n')],
      ['sends two lengths', 'origin_error', raw(twoLengths)],
    ]
    for (const [what, code, answer] of cases) {
      it(`and ${what} ends with ${code}`, async () => {
        origin.routes['/bad'] = answer
        assert.equal((await failure('/bad')).code, code)
      })
    }

    it('and breaks off in the body ends with download_truncated', async () => {
      origin.routes['/cut'] = truncated(Buffer.alloc(1_000), 10)
      origin.routes['/chunk'] = raw(
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n',
      )
      origin.routes['/garbled'] = raw(
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n',
      )
      for (const path of ['/cut', '/chunk', '/garbled']) {
        const error = await failure(path)
        assert.deepEqual([path, error.code, error.httpStatus], [path, 'download_truncated', 200])
      }
    })
  })

  describe('an origin that is slow', () => {
    let impatient: Outbound
    before(() => {
      impatient = openTestOutbound({ idleTimeoutMs: 3_000 })
    })
    after(() => impatient[Symbol.asyncDispose]())

    it('to answer at all ends with download_timeout', async () => {
      origin.routes['/stall'] = stall()
      assert.equal((await failureOf(impatient, `${origin.url}/stall`)).code, 'download_timeout')
    })

    it('and sends its headers byte by byte ends with download_timeout all the same', async () => {
      origin.routes['/slowloris'] = async ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\nx-slow: ')
        while (!socket.destroyed) await Promise.all([socket.write('x'), delay(20)])
      }
      const error = await failureOf(impatient, `${origin.url}/slowloris`)
      assert.equal(error.code, 'download_timeout')
    })

    it('between two pieces of the body ends with download_timeout', async () => {
      origin.routes['/pause'] = stallAfter(Buffer.alloc(1_000), 10)
      const error = await failureOf(impatient, `${origin.url}/pause`)
      assert.deepEqual([error.code, error.httpStatus], ['download_timeout', 200])
    })

    it('on purpose, each byte in a chunk of its own, does not fill our memory', async () => {
      const chunks = 50_000
      const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
      origin.routes['/crumbs'] = raw(`${head}${'1\r\nx\r\n'.repeat(chunks)}0\r\n\r\n`)
      using response = await outbound.get(`${origin.url}/crumbs`, { signal: never })
      let bytes = 0
      for await (const pieces of response.body) {
        bytes += pieces.length
        assert.ok(pieces.length <= 1_100, `${pieces.length} pieces at once`)
      }
      assert.equal(bytes, chunks)
    })

    it('but never pauses for long is read to the end', async () => {
      // In all longer than it may pause once.
      origin.routes['/drip'] = drip(Buffer.from('picture'), { bytes: 1, everyMs: 600 })
      assert.equal(await read(impatient, `${origin.url}/drip`), 'picture')
    })
  })

  describe('an abort', () => {
    const reason = new Error('not wanted any more')

    it('before the start sends nothing', async () => {
      const get = outbound.get(`${origin.url}/early`, { signal: AbortSignal.abort(reason) })
      await assert.rejects(get, reason)
      assert.equal(origin.count('/early'), 0)
    })

    it('while the name is looked up rejects at once with its reason', async () => {
      const started = Promise.withResolvers<void>()
      await using stuck = openTestOutbound({
        lookup: () => {
          started.resolve()
          return new Promise(() => {})
        },
      })
      const abort = new AbortController()
      const get = stuck.get('http://pictures.test/', { signal: abort.signal })
      await started.promise
      abort.abort(reason)
      await assert.rejects(get, reason)
    })

    it('while the answer is waited for rejects with its reason and closes the connection', async () => {
      const closed = Promise.withResolvers<void>()
      origin.routes['/wait'] = (request) => void request.socket.once('close', closed.resolve)
      const abort = new AbortController()
      const get = outbound.get(`${origin.url}/wait`, { signal: abort.signal })
      await origin.asked('/wait')
      abort.abort(reason)
      await assert.rejects(get, reason)
      await closed.promise
    })

    it('in the body rejects with its reason', async () => {
      origin.routes['/body'] = stallAfter(Buffer.alloc(1_000), 10)
      const abort = new AbortController()
      using response = await outbound.get(`${origin.url}/body`, { signal: abort.signal })
      const reading = textOf(response.body)
      abort.abort(reason)
      await assert.rejects(reading, reason)
    })
  })

  describe('a whole body of an origin that closes at once, and does not say so before', () => {
    // Slower than the network, so that the end of the connection is there before the end is read.
    const readSlowly = async (path: string) => {
      using response = await outbound.get(origin.url + path, { signal: never })
      let bytes = 0
      await delay(20)
      for await (const pieces of response.body) {
        bytes += Buffer.concat(pieces).length
        await delay(1)
      }
      return bytes
    }
    const sizes = [1, 65_536, 70_000, 300_000, 1_100_000, 3_000_000]

    it('is read to the end, with a length and in chunks', async () => {
      for (const bytes of sizes) {
        const body = Buffer.alloc(bytes, 'x')
        const length = `HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\n\r\n${body}`
        const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
        origin.routes['/length'] = raw(length)
        origin.routes['/chunks'] = raw(`${head}${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
        origin.routes['/ending'] = raw(`HTTP/1.1 200 OK\r\n\r\n${body}`)
        for (const path of ['/length', '/chunks', '/ending']) {
          for (let round = 0; round < 5; round++) assert.equal(await readSlowly(path), bytes)
        }
      }
    })

    it('is told from one that is cut', async () => {
      for (const bytes of sizes) {
        const body = Buffer.alloc(bytes, 'x')
        const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
        origin.routes['/length'] = raw(
          `HTTP/1.1 200 OK\r\ncontent-length: ${bytes + 1}\r\n\r\n${body}`,
        )
        origin.routes['/chunks'] = raw(`${head}${bytes.toString(16)}\r\n${body}\r\n`)
        for (const path of ['/length', '/chunks']) {
          await assert.rejects(readSlowly(path), { code: 'download_truncated', httpStatus: 200 })
        }
      }
    })
  })

  describe('a request that dies before it is answered', () => {
    /** Answers the first request of each connection as `answers` tells, and hangs up on the second. */
    const startDying = async (answers: number) => {
      const served = new Map<number | undefined, number>()
      let left = answers
      return await startOrigin({
        '/a': (request, response) => {
          const { remotePort } = request.socket
          served.set(remotePort, (served.get(remotePort) ?? 0) + 1)
          if (served.get(remotePort) !== 1 || left-- <= 0) request.socket.destroy()
          else response.end('x')
        },
      })
    }

    it('on a kept connection is sent once more, on a new one', async () => {
      await using dying = await startDying(2)
      assert.equal(await read(outbound, `${dying.url}/a`), 'x')
      assert.equal(await read(outbound, `${dying.url}/a`), 'x')
      assert.equal(dying.count('/a'), 3)
      assert.equal(connectionsOf(dying).size, 2)
    })

    it('on a kept connection and on the new one is not sent again', async () => {
      await using dying = await startDying(1)
      assert.equal(await read(outbound, `${dying.url}/a`), 'x')
      const error = await failureOf(outbound, `${dying.url}/a`)
      assert.deepEqual([error.code, dying.count('/a')], ['connect_failed', 3])
    })

    it('on a new connection is not sent again', async () => {
      await using dying = await startDying(0)
      const error = await failureOf(outbound, `${dying.url}/a`)
      assert.deepEqual([error.code, dying.count('/a')], ['connect_failed', 1])
    })
  })

  it('hands out the wait for a place at the origin, at each hop; an abort ends it', async () => {
    await using narrow = openTestOutbound({ perOrigin: 1 })
    await using other = await startOrigin({ '/there': redirect(`${origin.url}/a`) })
    origin.routes['/a'] = 'x'
    const waits: Promise<unknown>[] = []
    const wait = <T>(turn: Promise<T>) => {
      waits.push(turn)
      return turn
    }
    const first = await narrow.get(`${origin.url}/a`, { signal: never, wait })
    assert.equal(waits.length, 0)
    const second = narrow.get(`${other.url}/there`, { signal: never, wait })
    await eventually(() => assert.equal(waits.length, 1))
    const abort = new AbortController()
    const third = narrow.get(`${origin.url}/a`, { signal: abort.signal, wait })
    const reason = new Error('not wanted any more')
    abort.abort(reason)
    await assert.rejects(third, reason)
    const asked = origin.count('/a')
    first[Symbol.dispose]()
    using response = await second
    assert.equal(await textOf(response.body), 'x')
    assert.equal(origin.count('/a'), asked + 1)
  })

  it('keeps connections for the next requests, and opens four to an origin at most', async () => {
    await using fresh = await startOrigin({ '/a': 'x' })
    await using pooled = openTestOutbound()
    for (let n = 0; n < 10; n += 1) await read(pooled, `${fresh.url}/a`)
    // Two, as a connection is not taken again in the very moment in which its answer ended.
    assert.ok(connectionsOf(fresh).size <= 2)

    const gate = Promise.withResolvers<void>()
    fresh.routes['/held'] = async (_request, response) => {
      await gate.promise
      response.end('x')
    }
    const reads = Array.from({ length: 10 }, () => read(pooled, `${fresh.url}/held`))
    await fresh.asked('/held', 4)
    gate.resolve()
    await Promise.all(reads)
    assert.equal(connectionsOf(fresh).size, 4)
  })

  it('whose body is not wanted ends its transfer when disposed of', async () => {
    const closed = Promise.withResolvers<void>()
    origin.routes['/big'] = (request, response) => {
      request.socket.once('close', closed.resolve)
      response.write(Buffer.alloc(1_000_000))
    }
    {
      using _ = await outbound.get(`${origin.url}/big`, { signal: never })
    }
    await closed.promise
  })

  it('ends with the client, wherever it is', async () => {
    origin.routes['/long'] = stall()
    const lookedUp = Promise.withResolvers<AbortSignal>()
    const closing = openTestOutbound({
      lookup: (_host, { signal }) => {
        lookedUp.resolve(signal)
        return new Promise(() => {})
      },
    })
    const waiting = closing.get(`${origin.url}/long`, { signal: never })
    const looking = closing.get('http://pictures.test/', { signal: never })
    const ends = Promise.allSettled([waiting, looking])
    await origin.asked('/long')
    const lookup = await lookedUp.promise
    await closing[Symbol.asyncDispose]()
    assert.deepEqual(
      (await ends).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.equal(lookup.aborted, true)
  })

  it('never takes a second answer to one request for the answer to the next', async () => {
    const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n${body}`
    const answers = [answer('first') + answer('wrong'), answer('right')]
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}))
      socket.once('data', () => socket.write(answers.shift() ?? ''))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    try {
      assert.equal(await read(outbound, url), 'first')
      assert.equal(await read(outbound, url), 'right')
    } finally {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
  })
})

function headersOf(bytes: number): ReturnType<typeof raw> {
  return raw(`HTTP/1.1 200 OK\r\nx-large: ${'x'.repeat(bytes)}\r\ncontent-length: 0\r\n\r\n`)
}

function connectionsOf({ requests }: Origin): Set<number | undefined> {
  return new Set(requests.map(({ connection }) => connection))
}

async function textOf(body: AsyncIterable<readonly Uint8Array[]>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const pieces of body) chunks.push(...pieces)
  return Buffer.concat(chunks).toString()
}

async function read(outbound: Outbound, url: string): Promise<string> {
  using response = await outbound.get(url, { signal: never })
  return await textOf(response.body)
}

async function failureOf(outbound: Outbound, url: string): Promise<AppError> {
  return await read(outbound, url).then(
    (body) => assert.fail(`answered ${JSON.stringify(body)}`),
    (error) => error,
  )
}
