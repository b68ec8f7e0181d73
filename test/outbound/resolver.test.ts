import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { addressesIn, createResolver, type Lookup } from '../../src/outbound/resolver.ts'

const never = new AbortController().signal

describe('the resolver', () => {
  let server: NameServer
  let lookup: Lookup
  before(async () => {
    server = await startNameServer({
      'both.test': { A: ['192.0.2.1', '192.0.2.2'], AAAA: ['2001:db8::1'] },
      'four.test': { A: ['192.0.2.1'], AAAA: [] },
      'six.test': { A: [], AAAA: ['2001:db8::1'] },
      'half.test': { A: ['192.0.2.1'], AAAA: 'nothing' },
      'broken-half.test': { A: ['192.0.2.1'], AAAA: 'SERVFAIL' },
      'empty.test': { A: [], AAAA: [] },
      'broken.test': { A: 'SERVFAIL', AAAA: 'SERVFAIL' },
      'unsure.test': { A: 'SERVFAIL', AAAA: [] },
      'silent.test': { A: 'nothing', AAAA: 'nothing' },
    })
    lookup = createResolver({ servers: [server.address], hostsFile: '/nonexistent' })
  })
  after(() => server[Symbol.asyncDispose]())

  const find = async (host: string) => (await lookup(host, { signal: never })).toSorted()
  const codeOf = (host: string) =>
    lookup(host, { signal: never }).then(
      (addresses) => assert.fail(`found ${addresses}`),
      (error) => error.code,
    )

  it('finds the addresses of both families, or of the one there is', async () => {
    assert.deepEqual(await find('both.test'), ['192.0.2.1', '192.0.2.2', '2001:db8::1'])
    assert.deepEqual(await find('four.test'), ['192.0.2.1'])
    assert.deepEqual(await find('six.test'), ['2001:db8::1'])
    assert.deepEqual(await find('broken-half.test'), ['192.0.2.1'])
  })

  it('does not wait for one family for long when it has the other', async () => {
    const start = performance.now()
    assert.deepEqual(await find('half.test'), ['192.0.2.1'])
    assert.ok(performance.now() - start < 3_500)
  })

  it('says ENOTFOUND only of a name that surely has no address', async () => {
    assert.equal(await codeOf('unknown.test'), 'ENOTFOUND')
    assert.equal(await codeOf('empty.test'), 'ENOTFOUND')
    assert.equal(await codeOf(`${'a'.repeat(64)}.test`), 'ENOTFOUND')
    assert.equal(await codeOf('broken.test'), 'ESERVFAIL')
    assert.equal(await codeOf('unsure.test'), 'ESERVFAIL')
  })

  it('gives up at once when the signal aborts', async () => {
    const abort = new AbortController()
    const asked = server.asked('silent.test')
    const found = lookup('silent.test', { signal: abort.signal })
    await asked
    const start = performance.now()
    abort.abort()
    await assert.rejects(found)
    assert.ok(performance.now() - start < 2_500)
    await assert.rejects(lookup('both.test', { signal: abort.signal }), { name: 'AbortError' })
  })

  it('knows localhost and the names of the hosts file without asking', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-hosts-'))
    const hostsFile = join(folder, 'hosts')
    await writeFile(hostsFile, '192.0.2.9 files.test\n')
    const known = createResolver({ servers: [server.address], hostsFile })
    try {
      const asked = server.questions.length
      assert.deepEqual(await known('localhost', { signal: never }), ['127.0.0.1', '::1'])
      assert.deepEqual(await known('a.localhost', { signal: never }), ['127.0.0.1', '::1'])
      assert.deepEqual(await known('files.test', { signal: never }), ['192.0.2.9'])
      assert.equal(server.questions.length, asked)
      assert.deepEqual(await known('four.test', { signal: never }), ['192.0.2.1'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('reads hosts files with comments, aliases, tabs and capitals', () => {
    const hosts = [
      '# 192.0.2.1 host.test',
      '192.0.2.2\thost.test other.test # a comment host.test',
      '2001:db8::2   OTHER.test  Host.Test\r',
      '192.0.2.3 nothost.test host.test.example',
      '',
    ].join('\n')
    assert.deepEqual(addressesIn(hosts, 'host.test'), ['192.0.2.2', '2001:db8::2'])
    assert.deepEqual(addressesIn(hosts, '192.0.2.2'), [])
    assert.deepEqual(addressesIn('', 'host.test'), [])
  })
})

/** Addresses to answer with, an error to answer with, or no answer at all. */
type Reply = readonly string[] | 'SERVFAIL' | 'nothing'
type Zone = Readonly<Record<string, Readonly<Record<'A' | 'AAAA', Reply>>>>

interface NameServer extends AsyncDisposable {
  address: string
  questions: string[]
  asked(name: string): Promise<void>
}

/** Answers A and AAAA over UDP (RFC 1035); names beyond the zone do not exist. */
async function startNameServer(zone: Zone): Promise<NameServer> {
  const socket = createSocket('udp4')
  const questions: string[] = []
  const waiting = new Map<string, () => void>()
  socket.on('message', (query, { port, address }) => {
    const { name, type, end } = questionOf(query)
    questions.push(name)
    waiting.get(name)?.()
    const reply = zone[name]?.[type] ?? 'NXDOMAIN'
    if (reply !== 'nothing')
      socket.send(answerTo(query.subarray(0, end), type, reply), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    asked: (name) => new Promise((resolve) => void waiting.set(name, resolve)),
    [Symbol.asyncDispose]: async () => {
      socket.close()
      await once(socket, 'close')
    },
  }
}

function questionOf(query: Buffer): { name: string; type: 'A' | 'AAAA'; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const type = query.readUInt16BE(at + 1) === 28 ? 'AAAA' : 'A'
  return { name: labels.join('.').toLowerCase(), type, end: at + 5 }
}

function answerTo(question: Buffer, type: 'A' | 'AAAA', reply: Reply | 'NXDOMAIN'): Buffer {
  const header = Buffer.from(question.subarray(0, 12))
  const addresses = typeof reply === 'string' ? [] : reply
  const code = reply === 'SERVFAIL' ? 2 : reply === 'NXDOMAIN' ? 3 : 0
  header.writeUInt16BE(0x8180 | code, 2)
  header.writeUInt16BE(addresses.length, 6)
  header.fill(0, 8)
  const records = addresses.map((address) => {
    const data = type === 'A' ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address)
    const record = Buffer.from([
      0xc0,
      12,
      0,
      type === 'A' ? 1 : 28,
      0,
      1,
      0,
      0,
      0,
      60,
      0,
      data.length,
    ])
    return Buffer.concat([record, data])
  })
  return Buffer.concat([header, question.subarray(12), ...records])
}

/** Of addresses written `prefix::end`, as in this file. */
function ipv6Bytes(address: string): Buffer {
  const [head = [], tail = []] = address
    .split('::')
    .map((part) =>
      part.split(':').flatMap((group) => [...Buffer.from(group.padStart(4, '0'), 'hex')]),
    )
  return Buffer.from([...head, ...Array<number>(16 - head.length - tail.length).fill(0), ...tail])
}
