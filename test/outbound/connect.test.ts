import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { AppError } from '../../src/errors.ts'
import { createAddressPolicy } from '../../src/outbound/address-policy.ts'
import { isUnknownHost } from '../../src/outbound/failures.ts'
import type { Outbound } from '../../src/outbound/outbound.ts'
import {
  type Certificate,
  type Origin,
  redirect,
  selfSigned,
  startOrigin,
  status,
} from '../support/origin.ts'
import { noSuchName, openTestOutbound } from '../support/outbound.ts'

const never = new AbortController().signal
const everyPort = [{ from: 1, to: 65_535 }]

describe('a connection is opened', () => {
  let origin: Origin
  before(async () => {
    origin = await startOrigin({ '/a': 'picture' })
  })
  after(() => origin[Symbol.asyncDispose]())

  const at = (host: string, path = '/a') => `http://${host}:${origin.port}${path}`

  it('only to public addresses, and the error does not tell which others a name has', async () => {
    const names = {
      'private.test': ['10.1.2.3'],
      'six.test': ['fd00::1', '::ffff:192.168.7.7', '::1'],
      'metadata.test': ['169.254.169.254'],
      'zone.test': ['fe80::1%eth0'],
      'nonsense.test': ['localhost', ''],
      'none.test': [],
    }
    await using outbound = openTestOutbound({ names })
    for (const name of Object.keys(names)) {
      const error = await failureOf(outbound, at(name))
      assert.equal(error.code, 'url_not_allowed')
      assert.equal(error.message, `${name} is not at a public address.`)
    }
  })

  it('to the public ones among the addresses of a name', async () => {
    await using outbound = openTestOutbound({
      names: { 'mixed.test': ['10.0.0.1', '127.0.0.1', '::1'] },
    })
    assert.equal(await read(outbound, at('mixed.test')), 'picture')
  })

  it('to the very address that was judged: a name is looked up once, and again for the next', async () => {
    origin.routes['/closed'] = status(200, { connection: 'close' }, 'picture')
    const answers = [['127.0.0.1'], ['10.0.0.1']]
    let lookups = 0
    await using outbound = openTestOutbound({ lookup: async () => answers[lookups++] ?? [] })
    assert.equal(await read(outbound, at('rebinding.test', '/closed')), 'picture')
    assert.equal(lookups, 1)
    const error = await failureOf(outbound, at('rebinding.test', '/closed'))
    assert.equal(error.code, 'url_not_allowed')
    assert.equal(lookups, 2)
    assert.equal(origin.count('/closed'), 1)
  })

  it('only to public addresses behind a redirect too', async () => {
    await using outbound = openTestOutbound({ names: { 'inside.test': ['192.168.0.1'] } })
    origin.routes['/inside'] = redirect(`http://inside.test:${origin.port}/a`)
    const error = await failureOf(outbound, at('127.0.0.1', '/inside'))
    assert.equal(error.code, 'url_not_allowed')
    assert.equal(error.message, 'inside.test is not at a public address.')
  })

  it('and judged again by what the kernel connected to', async () => {
    // 0.0.0.0 is admitted here, but connecting to it ends at 127.0.0.1, which is not.
    const policy = createAddressPolicy({ allow: ['0.0.0.0/32'], ports: everyPort })
    await using outbound = openTestOutbound({ policy })
    const asked = origin.requests.length
    assert.equal((await failureOf(outbound, at('0.0.0.0'))).code, 'url_not_allowed')
    assert.equal(origin.requests.length, asked)
  })

  it('to the next address when one refuses', async () => {
    const policy = createAddressPolicy({ allow: ['127.0.0.0/8', '::1/128'], ports: everyPort })
    const names = { 'host.test': ['::1', '127.0.0.2', '127.0.0.1'] }
    await using outbound = openTestOutbound({ policy, names })
    assert.equal(await read(outbound, at('host.test')), 'picture')
  })

  it('to an address without a name, and to a name with a dot at its end', async () => {
    await using outbound = openTestOutbound({ names: { 'host.test': ['127.0.0.1'] } })
    assert.equal(await read(outbound, at('127.0.0.1')), 'picture')
    assert.equal(await read(outbound, at('host.test.')), 'picture')
  })

  it('or fails with connect_failed and a reason', async () => {
    await using outbound = openTestOutbound({ names: { 'host.test': ['127.0.0.1'] } })
    const error = await failureOf(outbound, `http://host.test:${await freePort()}/`)
    assert.equal(error.code, 'connect_failed')
    assert.equal(error.message, 'Could not connect to host.test: the connection was refused.')
  })

  it('without regard to proxy variables, or to those that weaken TLS', async () => {
    await using proxy = await startOrigin({ '/a': 'from the proxy' })
    await using secure = await startOrigin({ '/a': 'x' }, { tls: await selfSigned() })
    const variables = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy']
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', fetchBoth(at('127.0.0.1'), `${secure.url}/a`)],
      {
        env: {
          ...process.env,
          ...Object.fromEntries(variables.map((name) => [name, proxy.url])),
          NODE_USE_ENV_PROXY: '1',
          NODE_TLS_REJECT_UNAUTHORIZED: '0',
          NO_PROXY: '',
          no_proxy: '',
        },
      },
    )
    assert.equal(stdout, 'picture tls_failed')
    assert.deepEqual(proxy.requests, [])
  })
})

describe('a name', () => {
  it('that does not exist is told apart from one that could not be looked up', async () => {
    const failing = async (code: string) => {
      await using outbound = openTestOutbound({
        lookup: () => Promise.reject(Object.assign(new Error('x'), { code })),
      })
      return await failureOf(outbound, 'http://host.test/')
    }
    const unknown = await failing('ENOTFOUND')
    assert.equal(unknown.message, 'There is no host with the name host.test.')
    assert.deepEqual([unknown.code, isUnknownHost(unknown)], ['dns_failed', true])
    for (const code of ['ESERVFAIL', 'ETIMEOUT', 'EREFUSED']) {
      const unsure = await failing(code)
      assert.equal(unsure.message, 'The address of host.test could not be found out.')
      assert.deepEqual([unsure.code, isUnknownHost(unsure)], ['dns_failed', false])
    }
    assert.equal(isUnknownHost(new AppError('connect_failed', '', { cause: noSuchName() })), false)
    assert.equal(isUnknownHost(noSuchName()), false)
  })

  it('that nobody answers for ends with dns_failed in the time for connecting', async () => {
    await using outbound = openTestOutbound({
      connectTimeoutMs: 100,
      lookup: () => new Promise(() => {}),
    })
    const error = await failureOf(outbound, 'http://host.test/')
    assert.deepEqual([error.code, isUnknownHost(error)], ['dns_failed', false])
  })
})

describe('an address that does not answer', { skip: process.platform !== 'linux' }, () => {
  let origin: Origin
  let full: FullListener
  const policy = createAddressPolicy({ allow: ['127.0.0.0/8'], ports: everyPort })

  before(async () => {
    origin = await startOrigin({ '/a': 'picture' })
    full = await startFullListener('127.0.0.2', origin.port)
  })
  after(async () => {
    await full[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  })

  it('does not hold up the next address of the name for long', async () => {
    const names = { 'host.test': ['127.0.0.2', '127.0.0.1'] }
    await using outbound = openTestOutbound({ policy, names, connectTimeoutMs: 20_000 })
    const start = performance.now()
    assert.equal(await read(outbound, `http://host.test:${origin.port}/a`), 'picture')
    assert.ok(performance.now() - start < 5_000)
    // The attempt that lost is over too, long before its own time would be.
    assert.deepEqual(
      process.getActiveResourcesInfo().filter((it) => it.endsWith('ConnectWrap')),
      [],
    )
  })

  it('ends with connect_failed when the time for connecting is over', async () => {
    const names = { 'host.test': ['127.0.0.2'] }
    await using outbound = openTestOutbound({ policy, names, connectTimeoutMs: 300 })
    const error = await failureOf(outbound, `http://host.test:${origin.port}/a`)
    assert.equal(error.code, 'connect_failed')
    assert.equal(error.message, 'Could not connect to host.test: it took too long.')
  })
})

describe('TLS', () => {
  let certificate: Certificate
  let origin: Origin
  let outbound: Outbound
  const trusted = getCACertificates('default')

  before(async () => {
    certificate = await selfSigned(['DNS:host.test', 'IP:127.0.0.1'])
    origin = await startOrigin({ '/a': 'picture' }, { tls: certificate })
    const names = { 'host.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] }
    outbound = openTestOutbound({ names })
  })
  after(async () => {
    setDefaultCACertificates(trusted)
    await outbound[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  })

  it('with a certificate that nobody signed ends with tls_failed', async () => {
    const error = await failureOf(outbound, `${origin.url}/a`)
    assert.equal(error.code, 'tls_failed')
    assert.equal(
      error.message,
      'Could not connect securely to 127.0.0.1: its certificate is self-signed.',
    )
    assert.equal(origin.requests.length, 0)
  })

  it('with a certificate that is trusted works by name and by address, and the name is sent', async () => {
    setDefaultCACertificates([...trusted, certificate.cert])
    let servername: unknown
    origin.routes['/name'] = (request, response) => {
      servername = (request.socket as TLSSocket).servername
      response.end('picture')
    }
    assert.equal(await read(outbound, `https://host.test:${origin.port}/name`), 'picture')
    assert.equal(servername, 'host.test')
    assert.equal(await read(outbound, `https://host.test.:${origin.port}/name`), 'picture')
    assert.equal(servername, 'host.test')
    assert.equal(await read(outbound, `${origin.url}/name`), 'picture')
    assert.equal(servername, false)
  })

  it('with a trusted certificate of another name ends with tls_failed', async () => {
    setDefaultCACertificates([...trusted, certificate.cert])
    const error = await failureOf(outbound, `https://other.test:${origin.port}/a`)
    assert.equal(error.code, 'tls_failed')
    assert.match(error.message, /its certificate is for another name\.$/)
  })

  it('may be left by a redirect', async () => {
    setDefaultCACertificates([...trusted, certificate.cert])
    await using plain = await startOrigin({ '/a': 'plain picture' })
    origin.routes['/down'] = redirect(`${plain.url}/a`)
    assert.equal(await read(outbound, `${origin.url}/down`), 'plain picture')
  })

  it('to a port without TLS ends with tls_failed', async () => {
    await using plain = await startOrigin({})
    const error = await failureOf(outbound, `https://host.test:${plain.port}/a`)
    assert.equal(error.code, 'tls_failed')
    assert.match(error.message, /it does not speak TLS there\.$/)
  })

  it('that breaks off, or never gets anywhere, ends with connect_failed', async () => {
    const sockets = new Set<Socket>()
    const breakOff = (socket: Socket) => socket.once('data', () => socket.destroy())
    for (const behaviour of [breakOff, () => {}]) {
      const server = createServer((socket) => {
        sockets.add(socket.on('error', () => {}))
        behaviour(socket)
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as { port: number }
      await using hasty = openTestOutbound({ connectTimeoutMs: 300 })
      assert.equal((await failureOf(hasty, `https://127.0.0.1:${port}/`)).code, 'connect_failed')
      server.close()
      for (const socket of sockets) socket.destroy()
    }
  })
})

interface FullListener extends AsyncDisposable {}

/**
 * Takes connections until its queue is full and then answers nothing: a stopped process that never
 * accepts. The kernel drops what comes after, as a firewall would.
 */
async function startFullListener(host: string, port: number): Promise<FullListener> {
  const listen = `require('node:net').createServer().listen({ host: '${host}', port: ${port}, backlog: 1 }, () => console.log('up'))`
  const child: ChildProcess = spawn(process.execPath, ['--eval', listen], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  assert.ok(child.stdout)
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  const sockets: Socket[] = []
  while (await connects(host, port, sockets))
    assert.ok(sockets.length < 100, 'its queue never fills')
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

async function connects(host: string, port: number, sockets: Socket[]): Promise<boolean> {
  const socket = connect({ host, port }).on('error', () => {})
  sockets.push(socket)
  const signal = AbortSignal.timeout(1_000)
  return await once(socket, 'connect', { signal }).then(
    () => true,
    () => {
      socket.destroy()
      return false
    },
  )
}

async function freePort(): Promise<number> {
  await using origin = await startOrigin()
  return origin.port
}

/** A program that fetches two URLs and prints the first one's body and the second one's error code. */
function fetchBoth(first: string, second: string): string {
  const support = new URL('../support/outbound.ts', import.meta.url).href
  return `
    const { openTestOutbound } = await import(${JSON.stringify(support)})
    const outbound = openTestOutbound()
    const signal = new AbortController().signal
    const response = await outbound.get(${JSON.stringify(first)}, { signal })
    for await (const chunks of response.body) process.stdout.write(Buffer.concat(chunks))
    const error = await outbound.get(${JSON.stringify(second)}, { signal }).catch((error) => error)
    process.stdout.write(' ' + error.code)
    await outbound[Symbol.asyncDispose]()
  `
}

async function read(outbound: Outbound, url: string): Promise<string> {
  using response = await outbound.get(url, { signal: never })
  const chunks: Uint8Array[] = []
  for await (const pieces of response.body) chunks.push(...pieces)
  return Buffer.concat(chunks).toString()
}

async function failureOf(outbound: Outbound, url: string): Promise<AppError> {
  return await read(outbound, url).then(
    (body) => assert.fail(`answered ${JSON.stringify(body)}`),
    (error) => error,
  )
}
