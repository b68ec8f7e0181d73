// Several nodes with a Redis that fails in every way: answers stay right, and soon come.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import pino from 'pino'
import { type RedisProcess, startRedisServer } from '../../scripts/engines/redis.ts'
import type { LogPosition, SharedCache } from '../../src/cache/cache.ts'
import { createReadThrough } from '../../src/cache/read-through.ts'
import { createRedisCache } from '../../src/cache/redis.ts'
import { openSharedLevel } from '../../src/cache/shared-level.ts'
import { eventually } from '../support/eventually.ts'
import { connectRedis, describeWithRedisServer, redisAt } from '../support/redis.ts'

const packed = Buffer.from('x')

/** Of all truths: each has epochs of its own. */
let histories = 0

/** Versions by key, and the log of their changes. */
function createTruth() {
  const versions = new Map<string, number>()
  const changes: { key: string; version: number }[] = []
  let history = histories++
  const place = (): LogPosition => ({ epoch: `abc${history}`, id: changes.length })
  return {
    loads: 0,
    write: (key: string) => {
      const version = (versions.get(key) ?? 1) + 1
      versions.set(key, version)
      changes.push({ key, version })
      return version
    },
    versionOf: (key: string) => versions.get(key) ?? 1,
    /** Puts it back to where it began, in another epoch. */
    restore: () => {
      versions.clear()
      changes.length = 0
      history = histories++
    },
    log: {
      toldThrough: place,
      settledThrough: async () => place(),
      between: async (from: LogPosition, through: LogPosition) =>
        from.epoch === through.epoch ? changes.slice(from.id, through.id) : undefined,
    },
  }
}

/** Passes everything on, to the server after a delay that may be changed. */
async function startSlowProxy(port: number) {
  const sockets = new Set<Socket>()
  const proxy = { url: '', delayMs: 0 }
  const listener = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    client.on('data', (bytes) => void setTimeout(() => upstream.write(bytes), proxy.delayMs))
    upstream.on('data', (bytes) => client.write(bytes))
    for (const [socket, peer] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => void peer.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  proxy.url = `redis://127.0.0.1:${(listener.address() as AddressInfo).port}`
  return Object.assign(proxy, {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      listener.close()
    },
  })
}

describeWithRedisServer('reads through memory, Redis and the truth', () => {
  let server: RedisProcess
  before(async () => {
    server = await startRedisServer()
  })
  after(() => server[Symbol.asyncDispose]())

  /** Nodes that share one Redis and one truth. */
  const setUp = (url = server.url, options = redisAt(url)) => {
    const stack = new AsyncDisposableStack()
    const truth = createTruth()
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
    const open = () => {
      const level = stack.use(
        openSharedLevel({ cache: createRedisCache(options), changes: truth.log, log }),
      )
      const cache = createReadThrough({
        load: async (key) => {
          truth.loads++
          return { version: truth.versionOf(key) }
        },
        sizeOf: () => 10,
        maxBytes: 100_000,
        maxStaleMs: 30_000,
        currentAsOf: () => performance.now(),
        shared: {
          level,
          pack: () => packed,
          unpack: (_, { version, bytes }) => (bytes.equals(packed) ? { version } : undefined),
        },
      })
      level.subscribe({ heard: cache.hear, regained: cache.forget })
      return {
        level,
        cache,
        ready: () => eventually(() => level.check()),
        get: async (key: string) => (await cache.get(key))?.value.version,
        write: (key: string) => cache.announce(key, truth.write(key)),
      }
    }
    return { truth, open, options, lines, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  }
  const timed = async <T>(work: () => Promise<T>) => {
    const startedAt = performance.now()
    return { value: await work(), ms: performance.now() - startedAt }
  }

  test('what one node loaded the others find in Redis', async () => {
    await using set = setUp()
    const [one, other] = [set.open(), set.open()]
    await Promise.all([one.ready(), other.ready()])
    assert.equal(await one.get('k'), 1)
    await eventually(async () => {
      other.cache.forget()
      const before = set.truth.loads
      assert.equal(await other.get('k'), 1)
      assert.equal(set.truth.loads, before)
    })
  })

  test('a write is shown by its own node at once, by the others as soon as they hear of it', async () => {
    await using set = setUp()
    const [one, other] = [set.open(), set.open()]
    await Promise.all([one.ready(), other.ready()])
    for (let n = 0; n < 100; n++) {
      assert.equal(await other.get('k'), set.truth.versionOf('k'))
      await one.write('k')
      assert.equal(await one.get('k'), set.truth.versionOf('k'))
      await eventually(async () => assert.equal(await other.get('k'), set.truth.versionOf('k')))
    }
  })

  test('an emptied Redis costs loads, and nothing else', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await using client = await connectRedis(server.url)
    for (let n = 0; n < 20; n++) {
      await node.write('k')
      await client.flushAll()
      node.cache.forget()
      assert.equal(await node.get('k'), set.truth.versionOf('k'))
    }
    await eventually(async () =>
      assert.ok(await client.get(`${set.options.prefix}place`), 'the place is noted again'),
    )
  })

  test('a Redis that is not there costs loads; it is used again when it comes back', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    assert.equal(await node.get('k'), 1)
    await server.kill()
    await eventually(() => assert.equal(node.level.isHearing(), false))
    await assert.rejects(node.level.check(), { code: 'unavailable' })
    assert.equal(node.cache.recall('k'), undefined, 'nothing is heard, so memory is not trusted')
    await node.write('k')
    assert.equal(await node.get('k'), 2)
    await server.start()
    await node.ready()
    assert.equal(await node.get('k'), 2)
    assert.ok(node.cache.recall('k'))
  })

  test('a Redis that comes back with what it held long ago serves nothing of it', async () => {
    await using set = setUp()
    const keys = Array.from({ length: 50 }, (_, n) => `k${n}`)
    {
      const node = set.open()
      await node.ready()
      await eventually(async () => {
        node.cache.forget()
        for (const key of keys) await node.get(key)
        const found = await Promise.all(keys.map((key) => node.level.look(key, 0)))
        assert.ok(found.every((one) => one && 'entry' in one))
      })
      await using client = await connectRedis(server.url)
      await client.sendCommand(['SAVE'])
      for (const key of keys) await node.write(key)
      await server.kill()
      await node.level[Symbol.asyncDispose]()
    }
    await server.start()
    await using client = await connectRedis(server.url)
    assert.ok((await client.dbSize()) > 40, 'it came back with the old values')
    const fresh = set.open()
    await fresh.ready()
    for (const key of keys) assert.equal(await fresh.get(key), 2)
  })

  test('what changed while no node was there is not served from Redis', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await eventually(async () => {
      node.cache.forget()
      await node.get('k')
      const found = await node.level.look('k', 0)
      assert.ok(found && 'entry' in found)
    })
    await node.level[Symbol.asyncDispose]()
    set.truth.write('k')
    const fresh = set.open()
    await fresh.ready()
    assert.equal(await fresh.get('k'), 2)
  })

  test('of a truth that was restored nothing is served that it lost', async () => {
    await using set = setUp()
    const [one, other] = [set.open(), set.open()]
    await Promise.all([one.ready(), other.ready()])
    for (let n = 0; n < 5; n++) await one.write('k')
    await eventually(async () => {
      assert.equal(await other.get('k'), 6)
      one.cache.forget()
      assert.equal(await one.get('k'), 6)
      const found = await one.level.look('k', 6)
      assert.ok(found && 'entry' in found, 'Redis has it too')
    })
    set.truth.restore()
    for (const node of [one, other]) {
      node.cache.restart()
      assert.equal(await node.get('k'), 1)
    }
    await one.write('k')
    assert.equal(await one.get('k'), 2)
    await eventually(async () => assert.equal(await other.get('k'), 2))
    await Promise.all([one.ready(), other.ready()])
    assert.equal(await other.get('k'), 2)
  })

  test('what others put in the place of an entry is nothing, and goes with the next change or look', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await using client = await connectRedis(server.url)
    const key = `${set.options.prefix}entry:k`
    const foreign: [string, () => Promise<unknown>][] = [
      ['no version', () => client.set(key, 'vgarbage')],
      ['no body', () => client.set(key, 'v1')],
      ['a version beyond all', () => client.set(key, `v${'9'.repeat(400)}:x`)],
      ['a list', () => client.lPush(key, 'x')],
    ]
    for (const [what, put] of foreign) {
      // One write each: another only where Redis was late, and not waited for.
      await eventually(async () => {
        await client.del(key)
        await put()
        await node.write('k')
        assert.equal(await client.exists(key), 0, what)
      })
      await node.ready()
    }
    foreign.push(['what ends, but never does', () => client.set(key, 'p1000:x')])
    for (const [what, put] of foreign) {
      await client.del(key)
      await put()
      node.cache.forget()
      assert.equal(await node.get('k'), set.truth.versionOf('k'), what)
      await eventually(async () => {
        const found = await node.level.look('k', 0)
        assert.ok(found && 'entry' in found && found.entry.version === set.truth.versionOf('k'))
      })
    }
  })

  test('what unpacks to nothing goes, whatever version it has', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await using client = await connectRedis(server.url)
    const key = `${set.options.prefix}entry:k`
    await client.set(key, `v${'9'.repeat(15)}:forged`)
    assert.equal(await node.get('k'), 1)
    await node.write('k')
    assert.equal(await node.get('k'), 2)
    assert.notEqual(await client.get(key), `v${'9'.repeat(15)}:forged`)
  })

  test('an announcement of a version that there is not costs one load', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await node.write('k')
    await node.get('k')
    await using client = await connectRedis(server.url)
    await client.publish(`${set.options.prefix}changes`, `k:${Number.MAX_SAFE_INTEGER}`)
    await eventually(() => assert.equal(node.cache.recall('k'), undefined))
    const before = set.truth.loads
    assert.equal(await node.get('k'), 2)
    assert.equal(set.truth.loads, before + 1)
    assert.equal(node.cache.recall('k')?.version, 2)
    await node.write('k')
    assert.equal(await node.get('k'), 3)
    assert.ok(node.cache.recall('k'))
  })

  test('a place that is none is set anew', async () => {
    await using set = setUp()
    await using client = await connectRedis(server.url)
    const key = `${set.options.prefix}place`
    const foreign: (() => Promise<unknown>)[] = [
      () => client.set(key, 'garbage'),
      () => client.set(key, 'ABC-1'),
      () => client.set(key, `abc-${'9'.repeat(30)}`),
      () => client.lPush(key, 'x'),
    ]
    for (const put of foreign) {
      await client.del(key)
      await put()
      const node = set.open()
      await node.ready()
      assert.match((await client.get(key)) ?? '', /^abc\d+-\d+$/)
      await client.del(key)
      await put()
      await eventually(async () => assert.match((await client.get(key)) ?? '', /^abc\d+-\d+$/))
      await node.ready()
    }
  })

  test('that another truth has the same prefix is said once', async () => {
    await using set = setUp()
    await using strangers = setUp(server.url, set.options)
    set.open()
    strangers.open()
    const warned = ({ lines }: { lines: string[] }) =>
      lines.filter((line) => line.includes('another database shares Redis')).length
    await eventually(() => assert.ok(warned(set) + warned(strangers) > 0))
    const nodes = [set.open(), strangers.open()]
    for (const { ready } of nodes) await ready()
    assert.ok(warned(set) <= 1 && warned(strangers) <= 1)
  })

  test('a place that cannot be kept is tried for again after a pause, and said once', async () => {
    const cache = createRedisCache(redisAt(server.url))
    let tries = 0
    const forgetful: SharedCache = {
      name: cache.name,
      connect: async (heard) =>
        Object.assign(await cache.connect(heard), {
          advance: async () => ++tries < 0,
        }),
    }
    const lines: string[] = []
    const listening = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
    await using _level = openSharedLevel({
      cache: forgetful,
      changes: createTruth().log,
      log: listening,
    })
    await eventually(() => assert.equal(lines.length, 1))
    assert.ok(tries <= 3, `${tries} tries`)
    await eventually(() => assert.ok(tries > 3))
    assert.equal(lines.length, 1)
    assert.match(lines[0] ?? '', /cannot be kept in step/)
  })

  test('a Redis that falls silent is not waited for; it is used again when it speaks', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    server.pause()
    const times: number[] = []
    try {
      for (let n = 0; n < 200; n++) {
        if (n % 10 === 0) times.push((await timed(() => node.write(`k${n}`))).ms)
        const { value, ms } = await timed(() => node.get(`k${n}`))
        assert.equal(value, set.truth.versionOf(`k${n}`))
        times.push(ms)
      }
      await assert.rejects(node.level.check(), { code: 'unavailable' })
      await eventually(() => assert.equal(node.level.isHearing(), false))
    } finally {
      server.resume()
    }
    const waited = times.filter((ms) => ms > 40)
    assert.ok(waited.length <= 10, `${waited.length} of ${times.length} waited`)
    // The machine itself may stop once, for a second or two.
    const tooLong = times.filter((ms) => ms >= 500)
    assert.ok(tooLong.length <= 1 && Math.max(...times) < 4_000, `${tooLong} ms`)
    await node.ready()
    assert.equal(await node.get('k10'), set.truth.versionOf('k10'))
  })

  test('a Redis that takes 200 ms is left alone until it is quick again; writes are right meanwhile', async () => {
    await using proxy = await startSlowProxy(server.port)
    await using set = setUp(proxy.url)
    const [one, other] = [set.open(), set.open()]
    await Promise.all([one.ready(), other.ready()])
    proxy.delayMs = 200
    const times: number[] = []
    for (let n = 0; n < 300; n++) {
      const key = `k${n % 30}`
      if (n % 10 === 0) times.push((await timed(() => one.write(key))).ms)
      one.cache.forget()
      const { value, ms } = await timed(() => one.get(key))
      assert.equal(value, set.truth.versionOf(key))
      times.push(ms)
    }
    assert.ok(times.filter((ms) => ms > 40).length <= 10)
    // Fewer than are late before it is left alone: the machine itself may stop twice.
    const tooLong = times.filter((ms) => ms >= 190)
    assert.ok(tooLong.length <= 2, `${tooLong} ms`)
    await assert.rejects(one.level.check(), /too slowly/)
    assert.ok(one.level.isHearing(), 'messages come late, but they come')
    await eventually(async () => assert.equal(await other.get('k0'), set.truth.versionOf('k0')))
    proxy.delayMs = 0
    await one.ready()
  })

  test('a Redis is not slow because this process is busy', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    let late = 0
    // For longer than an answer may take, while looks and some pings are under way.
    for (let n = 0; n < 20; n++) {
      const looked = node.level.look('k', 0)
      const busyUntil = performance.now() + 80
      while (performance.now() < busyUntil);
      await looked
      await node.level.check().catch(() => late++)
    }
    // On a busy machine Redis itself is slow now and then.
    assert.ok(late <= 3, `${late} of 20 were late`)
  })

  test('a full Redis costs loads, and is no failure', async () => {
    await using set = setUp()
    const node = set.open()
    await node.ready()
    await using client = await connectRedis(server.url)
    await client.configSet('maxmemory', '1')
    try {
      for (let n = 0; n < 50; n++) {
        await node.write('k')
        node.cache.forget()
        assert.equal(await node.get('k'), set.truth.versionOf('k'))
      }
      assert.ok(node.level.isHearing())
    } finally {
      await client.configSet('maxmemory', '0')
    }
    await node.ready()
  })
})
