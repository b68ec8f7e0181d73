// Bytes that are no request, and clients that take their time: refused by a problem, on the wire.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import type { ProblemCode } from '../../src/errors.ts'
import { narrowerStatusesOf, statuses } from '../../src/http/problem.ts'
import { listen, openApi, post, raw, sample, type TestApi } from '../support/api.ts'
import { eventually } from '../support/eventually.ts'

let api: TestApi
let port: number
before(async () => {
  api = await openApi({ timeouts: { idleMs: 5_000 } })
  port = await listen(api.app)
})
after(() => api[Symbol.asyncDispose]())

/** The problem in an answer, checked to be one. */
function problemIn(answer: string) {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  assert.match(head, /content-type: application\/problem\+json/i)
  assert.match(head, /connection: close/i)
  assert.equal(/content-length: (\d+)/i.exec(head)?.[1], String(Buffer.byteLength(body)))
  const problem = JSON.parse(body)
  assert.equal(head.split(' ')[1], String(problem.status))
  const { code, status }: { code: ProblemCode; status: number } = problem
  const known: number[] = [statuses[code], ...narrowerStatusesOf(code)]
  assert.ok(known.includes(status), `${status} ${code}`)
  assert.equal(/x-request-id: (\S+)/i.exec(head)?.[1], problem.request_id)
  return problem
}

const garbage: [name: string, bytes: string | Buffer, status: number, code: string][] = [
  [
    'noise',
    Buffer.from(Array.from({ length: 300 }, (_, at) => (at * 89) % 256)),
    400,
    'invalid_input',
  ],
  ['a TLS hello', Buffer.from('160301020001000', 'hex'), 400, 'invalid_input'],
  ['words', 'hello there\r\n\r\n', 400, 'invalid_input'],
  ['HTTP/9', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n', 400, 'invalid_input'],
  ['a header without colon', 'GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n', 400, 'invalid_input'],
  ['NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n', 400, 'invalid_input'],
  ['a blank in the address', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'invalid_input'],
  [
    'two lengths',
    'POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    400,
    'invalid_input',
  ],
  [
    'a length and chunks',
    'POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
    'invalid_input',
  ],
  [
    'a negative length',
    'POST /products HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    400,
    'invalid_input',
  ],
  [
    'a broken chunk',
    'POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    400,
    'invalid_input',
  ],
  ['no host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'invalid_input'],
  [
    'an endless header',
    `GET / HTTP/1.1\r\nHost: x\r\na: ${'x'.repeat(20_000)}\r\n\r\n`,
    431,
    'too_large',
  ],
  [
    'many headers',
    `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(10_000)}\r\n`,
    431,
    'too_large',
  ],
  ['an endless address', `GET /${'x'.repeat(20_000)}`, 414, 'too_large'],
  [
    'a long address in a whole request',
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    414,
    'too_large',
  ],
  [
    'two hosts',
    'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nhost: y\r\n\r\n',
    400,
    'invalid_input',
  ],
  [
    'two hosts for nothing',
    'GET /nothing HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n',
    400,
    'invalid_input',
  ],
  [
    'an expectation that nobody knows',
    'POST /products HTTP/1.1\r\nHost: x\r\nExpect: more\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}',
    417,
    'invalid_input',
  ],
  ['an unknown method for nothing', 'FOO /nothing HTTP/1.1\r\nHost: x\r\n\r\n', 404, 'not_found'],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', 404, 'not_found'],
]
for (const [name, bytes, status, code] of garbage) {
  test(`${name} is answered ${status} ${code}`, async () => {
    const problem = problemIn(await raw(port, bytes))
    assert.deepEqual([problem.status, problem.code], [status, code])
    assert.ok(api.lines.some(({ request_id }) => request_id === problem.request_id))
  })
}

test('fields that do not fit are no long address because they come in parts', async () => {
  const connected = once(api.app.server, 'connection')
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  const [accepted] = (await connected) as [Socket]
  const head = 'GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1'
  socket.write(head)
  await eventually(() => assert.equal(accepted.bytesRead, head.length))
  socket.write('; b=2'.repeat(5_000))
  assert.equal(problemIn(await text(socket)).status, 431)
})

for (const method of ['FOO', 'get', 'X-1', 'GETX', 'M-SEARCHES', 'PROPFINX']) {
  test(`${method}, which no parser knows, is refused with what is allowed`, async () => {
    const answer = await raw(port, `${method} /api/v1/products?x=1 HTTP/1.1\r\nHost: x\r\n\r\n`)
    assert.equal(problemIn(answer).code, 'method_not_allowed')
    assert.match(answer, /\r\nAllow: GET, HEAD, POST, PUT, OPTIONS\r\n/)
  })
}

/** A whole request to create a product, but for what comes after it. */
const creation = (product_name: string, product_images: string[] = []) => {
  const body = JSON.stringify({ ...sample, product_name, product_images })
  return `POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

const statusesIn = (answers: string) =>
  [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))

const followers: [name: string, bytes: string][] = [
  ['bytes that are no request', 'xx\r\n\r\n'],
  ['a method that no parser knows', 'FOO / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['one that begins like a known one', 'GEX / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a header without colon', 'GET /livez HTTP/1.1\r\nnonsense\r\n\r\n'],
  ['an endless header', `GET /livez HTTP/1.1\r\na: ${'x'.repeat(20_000)}`],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
]
for (const [name, bytes] of followers) {
  test(`${name} after a request: that one is answered as ever, and nothing else`, async () => {
    const read = await raw(port, `GET /products HTTP/1.1\r\nHost: x\r\n\r\n${bytes}`)
    assert.deepEqual(statusesIn(read), [200])
    assert.ok(Array.isArray(JSON.parse(read.split('\r\n\r\n')[1] ?? '').data))

    const written = await raw(port, creation(name) + bytes)
    assert.deepEqual(statusesIn(written), [201])
    const { id, product_name } = JSON.parse(written.split('\r\n\r\n')[1] ?? '')
    assert.equal(product_name, name)

    const removal = `DELETE /products/${id} HTTP/1.1\r\nHost: x\r\n\r\n`
    assert.deepEqual(statusesIn(await raw(port, removal + bytes)), [204])
    assert.deepEqual(statusesIn(await raw(port, removal + removal + bytes)), [404, 404])
  })
}

test('a body that breaks off its own request leaves the answer before it alone', async () => {
  const broken = `POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`
  assert.deepEqual(statusesIn(await raw(port, creation('first') + broken)), [201])
})

test('a broken body that nobody reads changes no answer', async () => {
  const { id } = (await post(api.app, { ...sample, product_images: [] })).json()
  const broken = `DELETE /products/${id} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`
  assert.deepEqual(statusesIn(await raw(port, broken)), [204])
})

test('a client that hangs up after CONNECT, its answer still coming, leaves nothing behind', async () => {
  const connected = once(api.app.server, 'connection')
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\nCONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  const [accepted] = (await connected) as [Socket]
  const closed = new Promise((resolve) => accepted.once('close', resolve))
  socket.resetAndDestroy()
  await closed
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200)
})

test('a stream of events does not keep a connection whose client sends no requests', async () => {
  const answer = await raw(port, 'GET /events HTTP/1.1\r\nHost: x\r\n\r\nxx\r\n\r\n')
  assert.deepEqual(statusesIn(answer), [200])
  assert.match(answer, /event: snapshot/)
})

test('the method that is refused is the one at fault, not what came before it', async () => {
  const bad = 'GEX /products HTTP/1.1\r\nHost: x\r\n\r\n'
  assert.match(problemIn(await raw(port, `\r\n\r\n${bad}`)).detail, /^GEX is not allowed/)

  const socket = connect(port, '127.0.0.1')
  socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /)
  socket.write(bad)
  assert.match(problemIn(await text(socket)).detail, /^GEX is not allowed/)

  // Answered before its body has come; the rest of that begins like a request.
  const early = connect(port, '127.0.0.1')
  const body = 'POST /products HTTP/1.1\r\n'
  early.write(`POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`)
  assert.match(String((await once(early, 'data'))[0]), /^HTTP\/1\.1 404 /)
  early.write(`${body}xx\r\n\r\n`)
  assert.match(problemIn(await text(early)).detail, /not a valid HTTP request/)
})

describe('what does not arrive in time', () => {
  let hasty: TestApi
  let hastyPort: number
  before(async () => {
    hasty = await openApi({ timeouts: { headersMs: 300, requestMs: 600, checkMs: 50 } })
    hastyPort = await listen(hasty.app)
  })
  after(() => hasty[Symbol.asyncDispose]())

  test('leaves the answer before it alone', async () => {
    const waiting = creation('waits', sample.product_images).replace(
      'Host',
      'Prefer: wait=1\r\nHost',
    )
    assert.deepEqual(statusesIn(await raw(hastyPort, `${waiting}GET / HTTP/1.1\r\n`)), [201])
  })

  test('is refused: headers that never end', async () => {
    assert.equal(problemIn(await raw(hastyPort, 'GET / HTTP/1.1\r\nHost: x\r\n')).status, 408)
  })

  test('is refused: a body that never comes', async () => {
    const head =
      'POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n'
    assert.equal(problemIn(await raw(hastyPort, `${head}{`)).status, 408)
  })
})

test('a body that is too large is answered although the client goes on sending', async () => {
  const response = await fetch(`http://127.0.0.1:${port}/products`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: ' '.repeat(20_000_000),
  })
  assert.equal(response.status, 413)
  assert.equal(((await response.json()) as { code: string }).code, 'too_large')
})

test('a chunked body that turns out too large is answered too', async () => {
  let chunks = 100
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (chunks-- > 0) controller.enqueue(Buffer.alloc(65_536, ' '))
      else controller.close()
    },
  })
  const init: RequestInit & { duplex: 'half' } = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    duplex: 'half',
  }
  const response = await fetch(`http://127.0.0.1:${port}/products`, init)
  assert.equal(response.status, 413)
})

test('a connection goes on after a malformed body', async () => {
  const body = '{"a":'
  const bad = `POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const answers = await raw(
    port,
    bad,
    'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  )
  assert.match(answers, /^HTTP\/1\.1 400 [\s\S]*malformed_json[\s\S]*HTTP\/1\.1 200 OK[\s\S]*alive/)
})

test('two requests in one packet are both answered, in order', async () => {
  const one = 'GET /products/1 HTTP/1.1\r\nHost: x\r\n\r\n'
  const two = 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  assert.match(await raw(port, one + two), /^HTTP\/1\.1 404 [\s\S]*HTTP\/1\.1 200 /)
})

test('the absolute form of an address is understood, HTTP/1.0 needs no host', async () => {
  const absolute =
    'GET http://example.com/api/v1/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  assert.match(await raw(port, absolute), /^HTTP\/1\.1 200 /)
  assert.match(await raw(port, 'GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
  assert.match(
    await raw(port, 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1\.1 204 [\s\S]*allow: GET, HEAD, POST/i,
  )
})

test('clients that hang up at any moment leave nothing behind', async () => {
  const whole = `POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n${JSON.stringify(sample)}`
  const closed = []
  for (let length = 1; length < whole.length; length += 13) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(whole.slice(0, length), () => socket.resetAndDestroy())
    closed.push(new Promise((resolve) => socket.once('close', resolve)))
  }
  await Promise.all(closed)
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200)
  assert.deepEqual(
    api.lines.filter(({ level }) => level === 'error'),
    [],
  )
})
