import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  boolean,
  choicePerArea,
  duration,
  formatDuration,
  formatSize,
  host,
  hostOrSocketFolder,
  integer,
  networks,
  oneOf,
  origins,
  path,
  ports,
  publicUrl,
  size,
  text,
  type ValueType,
} from './value-types.ts'

const ANY = { min: 0, max: Number.MAX_SAFE_INTEGER }

/** What each text parses to; undefined: it is refused. */
function parses<T>(type: ValueType<T>, cases: Record<string, T | undefined>): void {
  for (const [written, value] of Object.entries(cases)) {
    assert.deepEqual(type.parse(written), value, JSON.stringify(written))
  }
}

describe('durations and sizes', () => {
  it('every duration comes back from its text', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (ms) => {
        assert.equal(duration(ANY).parse(formatDuration(ms)), ms)
      }),
    )
  })

  it('every size comes back from its text', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        assert.equal(size(ANY).parse(formatSize(bytes)), bytes)
      }),
    )
  })

  it('are written in the largest unit that fits exactly', () => {
    assert.deepEqual(
      [0, 500, 30_000, 90_000, 300_000, 3_600_000, 604_800_000].map(formatDuration),
      ['0ms', '500ms', '30s', '90s', '5m', '1h', '7d'],
    )
    assert.deepEqual([0, 1, 1024, 1536, 26_214_400].map(formatSize), [
      '0B',
      '1B',
      '1KiB',
      '1536B',
      '25MiB',
    ])
  })

  it('need one of their units, as written, and a whole number', () => {
    parses(duration(ANY), { '30s': 30_000, '30 s': 30_000, '0ms': 0, '2m': 120_000 })
    for (const wrong of [
      '30',
      's',
      '1.5s',
      '-1s',
      '1h30m',
      '30S',
      '30sec',
      '1e3s',
      '١s',
      '30  s',
    ]) {
      parses(duration(ANY), { [wrong]: undefined })
    }
    for (const wrong of ['25', '25MB', '25mib', '25M', '-1B', '1.5MiB']) {
      parses(size(ANY), { [wrong]: undefined })
    }
  })

  it('keep their bounds, and never overflow', () => {
    parses(duration({ min: 1_000 }), {
      '999ms': undefined,
      '1s': 1_000,
      '24d': 2_073_600_000,
      '25d': undefined,
    })
    parses(size({ min: 1, max: 1024 }), { '0B': undefined, '1KiB': 1024, '1025B': undefined })
    parses(size(ANY), { '999999999999999GiB': undefined, [`${'9'.repeat(400)}B`]: undefined })
  })

  it('the longest duration is one that a timer can hold', () => {
    const longest = duration().parse('24d')
    assert.ok(longest !== undefined && longest < 2 ** 31)
  })
})

describe('simple values', () => {
  it('integers are decimal digits within bounds', () => {
    parses(integer({ min: 1, max: 10 }), { '1': 1, '010': 10, '0': undefined, '11': undefined })
    for (const wrong of ['', ' ', '1.0', '1e1', '0x1', '+1', '-1', 'NaN', '٣']) {
      parses(integer(ANY), { [wrong]: undefined })
    }
  })

  it('booleans have four words each', () => {
    for (const yes of ['true', 'YES', 'on', '1']) parses(boolean, { [yes]: true })
    for (const no of ['false', 'No', 'OFF', '0']) parses(boolean, { [no]: false })
    for (const wrong of ['', '2', 'tru', 'enabled']) parses(boolean, { [wrong]: undefined })
  })

  it('choices are found in any case', () => {
    parses(oneOf(['api', 'all']), { API: 'api', all: 'all', worker: undefined, '': undefined })
  })

  it('texts and paths are of one line and of whole characters', () => {
    parses(text, { 'a b': 'a b', 'a\nb': undefined, 'a\0b': undefined, '\ud800': undefined })
    parses(text, { ['x'.repeat(1024)]: 'x'.repeat(1024), ['x'.repeat(1025)]: undefined })
    parses(path, { './data': './data', 'a\0b': undefined })
  })

  it('hosts are names or addresses, nothing more', () => {
    for (const right of ['localhost', '0.0.0.0', '::', '::1', 'db.example.', 'my_db', 'DB-1']) {
      parses(host, { [right]: right })
    }
    for (const wrong of ['', 'a b', 'a:1', '[::1]', 'http://a', 'a/b', '-a', 'a@b', '/tmp']) {
      parses(host, { [wrong]: undefined })
    }
    parses(hostOrSocketFolder, { '/var/run/postgresql': '/var/run/postgresql', 'a/b': undefined })
  })

  it('the public address is a bare http URL', () => {
    parses(publicUrl, {
      'https://shop.example': 'https://shop.example',
      'http://shop.example:8080/x/': 'http://shop.example:8080/x',
      'https://user:pass@shop.example': undefined,
      'https://shop.example/?a': undefined,
      'https://shop.example/#a': undefined,
      'ftp://shop.example': undefined,
      'shop.example': undefined,
      'https://': undefined,
    })
  })
})

describe('lists', () => {
  it('origins are written as browsers write them', () => {
    parses(origins, {
      '*': ['*'],
      'https://shop.example, HTTP://localhost:5173': [
        'https://shop.example',
        'http://localhost:5173',
      ],
    })
    for (const wrong of [
      'https://shop.example/',
      'https://shop.example/x',
      'https://shop.example:443',
      'https://user@shop.example',
      'shop.example',
      'null',
      'file://',
      '*,https://shop.example',
      'https://*.shop.example',
    ]) {
      parses(origins, { [wrong]: undefined })
    }
  })

  it('networks are read strictly', () => {
    parses(networks, {
      '10.0.0.0/8, FD00::/8': ['10.0.0.0/8', 'fd00::/8'],
      '0.0.0.0/0': ['0.0.0.0/0'],
      '192.168.1.7': ['192.168.1.7/32'],
      '::1': ['::1/128'],
    })
    for (const wrong of [
      '10.1.2.3/8',
      'fd00::1/8',
      '10.0.0.0/33',
      '::/129',
      '10/8',
      '0x0a.0.0.0/8',
      '010.0.0.0/8',
      '::ffff:10.0.0.0/104',
      'fe80::1%eth0/128',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      '10.0.0.0/-1',
      'localhost',
      '10.0.0.0/8,',
      ',',
    ]) {
      parses(networks, { [wrong]: undefined })
    }
  })

  it('ports are single or from–to', () => {
    parses(ports, {
      '80, 443,1024 - 65535': [
        { from: 80, to: 80 },
        { from: 443, to: 443 },
        { from: 1024, to: 65_535 },
      ],
    })
    for (const wrong of ['0', '65536', '2-1', '80,', '1-2-3', '-1', '1-', 'http', '80;443']) {
      parses(ports, { [wrong]: undefined })
    }
  })

  it('levels name a known area, once', () => {
    const levels = choicePerArea(['http', 'pipeline'], ['debug', 'warn'])
    parses(levels, {
      'pipeline=debug, http = WARN': { pipeline: 'debug', http: 'warn' },
      'http=loud': undefined,
      'htpp=warn': undefined,
      http: undefined,
      '=warn': undefined,
      'http=warn,http=debug': undefined,
      '__proto__=warn': undefined,
      'http=warn,': undefined,
    })
  })
})
