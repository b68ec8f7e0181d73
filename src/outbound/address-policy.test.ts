import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createAddressPolicy, type UrlRule } from './address-policy.ts'

const ports = [
  { from: 80, to: 80 },
  { from: 443, to: 443 },
  { from: 1_024, to: 65_535 },
]
const policy = createAddressPolicy({ allow: [], ports })

const allowedUrls = [
  'http://example.com/a.jpg',
  'https://example.com/a.jpg?size=large&v=2#top',
  'HTTPS://EXAMPLE.COM/A.JPG',
  'https://example.com:443/',
  'http://example.com:8080/',
  'http://example.com:65535/',
  'http://example.com./a.jpg',
  'http://8.8.8.8/',
  'http://1.1/',
  'http://134744072/',
  'http://[2606:4700:4700::1111]/',
  'http://[::ffff:8.8.8.8]/',
  'https://bücher.example/bild.jpg',
  'https://example.com/größe/写真.jpg',
  'https://example.com/@handle/photo:1.jpg',
  'https://localhost.example.com/',
  'https://notlocalhost/',
  'https://10.0.0.1.example.com/',
  `https://example.com/${'a'.repeat(2_048 - 'https://example.com/'.length)}`,
]

const refusedUrls: readonly (readonly [string, UrlRule])[] = [
  ['', 'url'],
  ['picture.jpg', 'url'],
  ['//example.com/a.jpg', 'url'],
  ['http://', 'url'],
  ['http://[::1', 'url'],
  ['http://256.256.256.256/', 'url'],
  ['http://1.2.3.4.5/', 'url'],
  ['http://999999999999/', 'url'],
  ['http://example.com:99999/', 'url'],
  ['http://127.0.0.1:80:80/', 'url'],
  ['http://[fe80::1%25eth0]/', 'url'],
  ['http://localhost%00.example.com/', 'url'],
  ['http://example.com/a b.jpg', 'url'],
  [' http://example.com/', 'url'],
  ['http://example.com/\n', 'url'],
  ['http://loc\talhost/', 'url'],
  ['http://example.com/\u0000', 'url'],
  ['http://example.com/\u0085', 'url'],
  ['http://example.com/\u00a0', 'url'],
  ['http://example.com/\u2028', 'url'],
  ['http://example.com/\ud800', 'url'],
  [`https://example.com/${'a'.repeat(2_049 - 'https://example.com/'.length)}`, 'url'],
  ['ftp://example.com/a.jpg', 'scheme'],
  ['file:///etc/passwd', 'scheme'],
  ['data:image/png;base64,iVBORw0KGgo=', 'scheme'],
  [`data:image/png;base64,${'A'.repeat(4_000)}`, 'scheme'],
  ['javascript:alert(1)', 'scheme'],
  ['gopher://127.0.0.1:6379/_FLUSHALL', 'scheme'],
  ['blob:https://example.com/1', 'scheme'],
  ['unix:/var/run/docker.sock', 'scheme'],
  ['http://user@example.com/', 'credentials'],
  ['http://user:secret@example.com/', 'credentials'],
  ['http://:secret@example.com/', 'credentials'],
  ['http://example.com@127.0.0.1/', 'credentials'],
  ['http://example.com:0/', 'port'],
  ['http://example.com:22/', 'port'],
  ['https://example.com:25/', 'port'],
  ['http://example.com:1023/', 'port'],
  ['http://127.0.0.1/', 'private_address'],
  ['http://127.1/', 'private_address'],
  ['http://127.0.0.1./', 'private_address'],
  ['http://0x7f.1/', 'private_address'],
  ['http://0x7f000001/', 'private_address'],
  ['http://0177.0.0.1/', 'private_address'],
  ['http://017700000001/', 'private_address'],
  ['http://2130706433/', 'private_address'],
  ['http:127.0.0.1/', 'private_address'],
  ['http:\\\\127.0.0.1\\', 'private_address'],
  ['http:///127.0.0.1/', 'private_address'],
  ['http://@127.0.0.1/', 'private_address'],
  ['http://127.0.0.1#@example.com/', 'private_address'],
  ['http://127.0.0.1\\@example.com/', 'private_address'],
  ['http://%31%32%37.0.0.1/', 'private_address'],
  ['http://１２７.０.０.１/', 'private_address'],
  ['http://127。0。0。1/', 'private_address'],
  ['http://①②⑦.0.0.1/', 'private_address'],
  ['http://localhost/', 'private_address'],
  ['http://LOCALHOST:8080/', 'private_address'],
  ['http://localhost./', 'private_address'],
  ['http://a.b.localhost/', 'private_address'],
  ['http://ⓛocalhost/', 'private_address'],
  ['http://0/', 'private_address'],
  ['http://0.0.0.0:8080/', 'private_address'],
  ['http://10.1.2.3/', 'private_address'],
  ['http://192.168.1.1/', 'private_address'],
  ['http://169.254.169.254/latest/meta-data/', 'private_address'],
  ['http://[::]/', 'private_address'],
  ['http://[::1]/', 'private_address'],
  ['http://[0:0:0:0:0:0:0:1]/', 'private_address'],
  ['http://[::127.0.0.1]/', 'private_address'],
  ['http://[::ffff:10.0.0.1]/', 'private_address'],
  ['http://[::ffff:a00:1]/', 'private_address'],
  ['http://[64:ff9b::10.0.0.1]/', 'private_address'],
  ['http://[fd00:ec2::254]/', 'private_address'],
  ['http://[fe80::1]/', 'private_address'],
]

const publicAddresses = [
  '1.0.0.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.167.255.255',
  '223.255.255.255',
  '168.63.129.15',
  '2606:4700:4700::1111',
  '2a00:1450:4001:81b::2004',
  '2400:cb00:2048:1::c629:d7a2',
  '::ffff:8.8.8.8',
  '::ffff:808:808',
]

const refusedAddresses = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.0',
  '10.255.255.255',
  '100.64.0.1',
  '100.100.100.200', // metadata of Alibaba Cloud
  '127.0.0.1',
  '127.255.255.254',
  '168.63.129.16', // host services of Azure
  '169.254.169.254', // metadata of most clouds
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.192', // metadata of Oracle Cloud
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::2',
  '::8.8.8.8',
  '::ffff:127.0.0.1',
  '::ffff:168.63.129.16',
  '::ffff:0:8.8.8.8',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:db8::1',
  '2002:808:808::1',
  '3fff::1',
  '4000::1',
  '5f00::1',
  '9999::1',
  'fc00::1',
  'fd00:ec2::254', // metadata of AWS
  'fe80::1',
  'fe80::1%eth0',
  '2606:4700::1%1',
  'fec0::1',
  'ff02::1',
  // ISATAP, with each setting of its two flag bits.
  '2606:4700::5efe:10.0.0.1',
  '2606:4700::100:5efe:10.0.0.1',
  '2606:4700::200:5efe:10.0.0.1',
  '2606:4700::300:5efe:10.0.0.1',
  '',
  'localhost',
  '127.1',
  '0x7f.0.0.1',
  '08.8.8.8',
  '8.8.8.8:80',
  '[2606:4700::1]',
]

describe('what can be said of a URL without the network', () => {
  for (const url of allowedUrls) {
    it(`allows ${shown(url)}`, () => assert.equal(policy.checkUrl(url), undefined))
  }
  for (const [url, rule] of refusedUrls) {
    it(`refuses ${shown(url)}: ${rule}`, () => assert.equal(policy.checkUrl(url)?.rule, rule))
  }

  it('says what would be right', () => {
    const details = ['x', 'ftp://a/', 'http://u@a/', 'http://a:22/', 'http://10.0.0.1/'].map(
      (url) => policy.checkUrl(url)?.detail,
    )
    assert.deepEqual(details, [
      'must be an absolute http or https URL',
      'must use http or https',
      'must not contain a user name or password',
      'must not use port 22',
      'must not point to a private or reserved address',
    ])
  })
})

describe('the judgement of an address', () => {
  for (const address of publicAddresses) {
    it(`allows ${address}`, () => assert.equal(policy.refusalOf(address), undefined))
  }
  for (const address of refusedAddresses) {
    it(`refuses ${shown(address)}`, () => assert.notEqual(policy.refusalOf(address), undefined))
  }

  it('refuses any private IPv4 address in every IPv6 form that can carry one', () => {
    fc.assert(
      fc.property(privateIPv4, carrier, (bytes, embed) => {
        const address = embed(bytes)
        assert.notEqual(policy.refusalOf(address), undefined, address)
        assert.equal(policy.checkUrl(`http://[${address}]/`)?.rule, 'private_address', address)
      }),
      { numRuns: 2_000 },
    )
  })

  it('reads the address in a URL as the address itself', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        const host = address.includes(':') ? `[${address}]` : address
        assert.equal(
          policy.checkUrl(`http://${host}/`) === undefined,
          policy.refusalOf(address) === undefined,
        )
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the allow-list', () => {
  const opened = createAddressPolicy({
    allow: ['127.0.0.1/32', '10.20.0.0/16', 'fd12::/48'],
    ports,
  })

  it('admits exactly its networks, and public addresses as before', () => {
    const admitted = ['127.0.0.1', '10.20.255.255', '::ffff:10.20.0.1', 'fd12::1', '8.8.8.8']
    const refused = ['127.0.0.2', '10.21.0.0', '::ffff:10.21.0.0', 'fd12:0:1::', '::1', 'fd12::1%1']
    assert.deepEqual(
      admitted.filter((address) => opened.refusalOf(address) !== undefined),
      [],
    )
    assert.deepEqual(
      refused.filter((address) => opened.refusalOf(address) === undefined),
      [],
    )
  })

  it('admits localhost when it admits an address of it', () => {
    assert.equal(opened.checkUrl('http://localhost:8080/'), undefined)
    const six = createAddressPolicy({ allow: ['::1/128'], ports })
    assert.equal(six.checkUrl('http://localhost:8080/'), undefined)
  })

  it('does not open ports, schemes or credentials', () => {
    const urls = ['http://127.0.0.1:22/', 'ftp://127.0.0.1/', 'http://u:p@127.0.0.1/']
    const rules = urls.map((url) => opened.checkUrl(url)?.rule)
    assert.deepEqual(rules, ['port', 'scheme', 'credentials'])
  })

  it('is refused as a whole when an entry is not a network', () => {
    assert.throws(() => createAddressPolicy({ allow: ['10.0.0.0/33'], ports }), /10\.0\.0\.0\/33/)
  })
})

type Bytes = readonly [number, number, number, number]

const byte = fc.nat(255)
const privateIPv4: fc.Arbitrary<Bytes> = fc.oneof(
  fc.tuple(fc.constantFrom(0, 10, 127), byte, byte, byte),
  fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
  fc.tuple(fc.constant(192), fc.constant(168), byte, byte),
  fc.tuple(fc.constant(169), fc.constant(254), byte, byte),
  fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), byte, byte),
  fc.tuple(fc.integer({ min: 224, max: 255 }), byte, byte, byte),
)

const group = fc.nat(0xffff).map((value) => value.toString(16))
const publicPrefix = fc
  .tuple(fc.constantFrom('2606', '2a00', '2400'), group, group, group)
  .map((groups) => groups.join(':'))

/** Writes an IPv4 address into an IPv6 address, with whatever the form leaves free. */
const carrier: fc.Arbitrary<(bytes: Bytes) => string> = fc.oneof(
  fc.constant((bytes: Bytes) => `::ffff:${bytes.join('.')}`),
  fc.constant((bytes: Bytes) => `::ffff:${hex(bytes)}`),
  fc.constant((bytes: Bytes) => `::ffff:0:${hex(bytes)}`),
  fc.constant((bytes: Bytes) => `::${bytes.join('.')}`),
  fc.constant((bytes: Bytes) => `64:ff9b::${hex(bytes)}`),
  fc.tuple(group, group, group).map((free) => (bytes: Bytes) => {
    return `64:ff9b:1:${free.join(':')}:${hex(bytes)}`
  }),
  fc.tuple(group, group, group, group, group).map((free) => (bytes: Bytes) => {
    return `2002:${hex(bytes)}:${free.join(':')}`
  }),
  // Teredo: server, flags, port, and the client with its bits inverted; or the server itself.
  fc.tuple(group, group, group, group).map((free) => (bytes: Bytes) => {
    return `2001:0:${free.join(':')}:${hex(inverted(bytes))}`
  }),
  fc.tuple(group, group, group, group).map((free) => (bytes: Bytes) => {
    return `2001:0:${hex(bytes)}:${free.join(':')}`
  }),
  fc.tuple(publicPrefix, fc.constantFrom('0', '100', '200', '300')).map(([prefix, flags]) => {
    return (bytes: Bytes) => `${prefix}:${flags}:5efe:${hex(bytes)}`
  }),
)

function hex([a, b, c, d]: Bytes): string {
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

function inverted([a, b, c, d]: Bytes): Bytes {
  return [255 - a, 255 - b, 255 - c, 255 - d]
}

function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
