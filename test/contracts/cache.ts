// What a shared cache promises, asked of any adapter.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CacheConnection, SharedCache, SharedEntry } from '../../src/cache/cache.ts'
import { eventually } from '../support/eventually.ts'

/** `openEmpty` gives caches that share nothing with those it gave before. */
export function describeSharedCache(openEmpty: () => SharedCache): void {
  const deaf = () => {}
  const entryOf = (version: number, text = `body ${version}`): SharedEntry => ({
    version,
    bytes: Buffer.from(text),
  })
  const tokenOf = async (cache: CacheConnection, key: string, floor = 0) => {
    const looked = await cache.look(key, floor)
    assert.ok('token' in looked, 'a miss')
    return looked.token
  }
  const put = async (cache: CacheConnection, key: string, entry: SharedEntry) =>
    assert.ok(await cache.fill(key, await tokenOf(cache, key), entry))
  const heldIn = async (cache: CacheConnection, key: string, floor = 0) => {
    const looked = await cache.look(key, floor)
    return 'entry' in looked ? looked.entry : undefined
  }

  test('what is filled with its token is found, byte for byte', async () => {
    await using cache = await openEmpty().connect(deaf)
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('v9:v8:\r\n\0é'),
      Buffer.from(Array.from({ length: 512 }, (_, n) => n % 256)),
      Buffer.alloc(4 * 1024 * 1024, 7),
    ]) {
      const key = `k${bytes.length}`
      await put(cache, key, { version: 3, bytes })
      assert.deepEqual(await heldIn(cache, key), { version: 3, bytes })
    }
  })

  test('what ends is found until then, and not as what ends later, whatever clock filled it', async (context) => {
    context.mock.timers.enable({ apis: ['Date'], now: Date.now() })
    await using cache = await openEmpty().connect(deaf)
    const goodUntil = Date.now() + 60_000
    await put(cache, 'k', { ...entryOf(1), goodUntil })
    const found = (await heldIn(cache, 'k')) ?? assert.fail('a miss')
    assert.deepEqual(found.bytes, entryOf(1).bytes)
    assert.ok(found.goodUntil! <= goodUntil && found.goodUntil! > goodUntil - 10_000)
    // Found on a machine that is an hour behind.
    context.mock.timers.setTime(Date.now() - 60 * 60_000)
    const behind = await heldIn(cache, 'k')
    assert.ok(behind!.goodUntil! <= Date.now() + 60_000)
    await put(cache, 'soon', { ...entryOf(1), goodUntil: Date.now() + 30 })
    await eventually(async () => assert.equal(await heldIn(cache, 'soon'), undefined))
    assert.equal(
      await cache.fill('past', await tokenOf(cache, 'past'), {
        ...entryOf(1),
        goodUntil: Date.now(),
      }),
      false,
    )
  })

  test('keys are kept apart, whatever is in them', async () => {
    await using cache = await openEmpty().connect(deaf)
    const keys = ['', ' ', '*', 'a:b', 'a', '[a]', '\0', '\r\n', 'é', '__proto__', 'x'.repeat(1000)]
    for (const [version, key] of keys.entries()) await put(cache, key, entryOf(version))
    for (const [version, key] of keys.entries())
      assert.deepEqual(await heldIn(cache, key), entryOf(version), JSON.stringify(key))
  })

  test('all who miss get the same token, and only the first fills', async () => {
    await using cache = await openEmpty().connect(deaf)
    const tokens = await Promise.all(Array.from({ length: 100 }, () => tokenOf(cache, 'k')))
    assert.equal(new Set(tokens).size, 1)
    const fills = tokens.map((token, n) => cache.fill('k', token, entryOf(n)))
    assert.equal((await Promise.all(fills)).filter(Boolean).length, 1)
  })

  test('a token that was made up fills nothing', async () => {
    await using cache = await openEmpty().connect(deaf)
    assert.equal(await cache.fill('k', 'v1:x', entryOf(1)), false)
    await tokenOf(cache, 'k')
    assert.equal(await cache.fill('k', 'abc', entryOf(1)), false)
    assert.equal(await heldIn(cache, 'k'), undefined)
  })

  test('a change takes the token away, and older values, but not newer ones', async () => {
    await using cache = await openEmpty().connect(deaf)
    for (const [n, change] of [cache.drop, cache.announce, () => cache.flush()].entries()) {
      const key = `changed ${n}`
      const early = await tokenOf(cache, key)
      await change(key, 2)
      assert.equal(await cache.fill(key, early, entryOf(1)), false)
      await put(cache, key, entryOf(2))
    }
    await put(cache, 'k', entryOf(2))
    await cache.drop('k', 1)
    await cache.announce('k', 2)
    assert.deepEqual(await heldIn(cache, 'k'), entryOf(2))
    await cache.drop('k', 3)
    assert.equal(await heldIn(cache, 'k'), undefined)
  })

  test('what is below the floor is a miss, and makes room', async () => {
    await using cache = await openEmpty().connect(deaf)
    await put(cache, 'k', entryOf(1))
    assert.deepEqual(await heldIn(cache, 'k', 1), entryOf(1))
    const token = await tokenOf(cache, 'k', 2)
    assert.ok(await cache.fill('k', token, entryOf(2)))
    assert.deepEqual(await heldIn(cache, 'k', 2), entryOf(2))
  })

  test('an announcement is heard by every connection, a drop by none', async () => {
    const cache = openEmpty()
    const heard: string[] = []
    const listen = (who: string) => (key: string, version: number) =>
      void heard.push(`${who} ${key} ${version}`)
    await using one = await cache.connect(listen('one'))
    await using _other = await cache.connect(listen('other'))
    await one.drop('k', 1)
    await one.announce('a:b', 2)
    await eventually(() => assert.deepEqual(heard.toSorted(), ['one a:b 2', 'other a:b 2']))
  })

  test('no order of looks, changes and fills brings an old value back', async () => {
    await using cache = await openEmpty().connect(deaf)
    let current = 1
    const read = async () => {
      const looked = await cache.look('k', 0)
      if ('entry' in looked) return
      const loaded = current
      if (Math.random() < 0.5) await cache.ping()
      await cache.fill('k', looked.token, entryOf(loaded))
    }
    const write = async () => {
      const version = ++current
      await cache.announce('k', version)
      const held = await heldIn(cache, 'k')
      assert.ok(!held || held.version >= version, `${held?.version} after ${version}`)
    }
    for (let round = 0; round < 50; round++)
      await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 5 === 0 ? write() : read())))
  })

  test('the place goes on, never back, and only from where it is thought to be', async () => {
    await using cache = await openEmpty().connect(deaf)
    const at = (id: number, epoch = 'abc') => ({ epoch, id })
    assert.equal(await cache.place(), undefined)
    assert.equal(await cache.advance(at(1), at(2)), false, 'there is none')
    assert.equal(await cache.advance(undefined, at(10)), true)
    assert.equal(await cache.advance(undefined, at(11)), false, 'there is one')
    assert.equal(await cache.advance(at(11), at(12)), false, 'it is behind')
    assert.equal(await cache.advance(at(5), at(8)), true)
    assert.deepEqual(await cache.place(), at(10), 'it is further already')
    assert.equal(await cache.advance(at(10), at(1_000_000_000_000)), true)
    assert.equal(await cache.advance(at(10, 'def'), at(11, 'def')), false)
    assert.equal(await cache.advance(at(1_000_000_000_000), at(3, 'def')), true, 'a new log')
    await put(cache, 'k', entryOf(1))
    await cache.flush()
    assert.deepEqual(await cache.place(), at(3, 'def'))
    assert.equal(await heldIn(cache, 'k'), undefined)
  })

  test('a flush reaches everything of its own, and nothing of others', async () => {
    await using cache = await openEmpty().connect(deaf)
    await using other = await openEmpty().connect(deaf)
    await put(other, 'k', entryOf(1))
    const keys = Array.from({ length: 1_200 }, (_, n) => `k${n}`)
    await Promise.all(keys.map((key) => put(cache, key, entryOf(1))))
    await cache.flush()
    const left = await Promise.all(keys.map((key) => heldIn(cache, key)))
    assert.deepEqual(left.filter(Boolean), [])
    assert.deepEqual(await heldIn(other, 'k'), entryOf(1))
  })

  test('closing ends what is under way, and everything after', async () => {
    const cache = await openEmpty().connect(deaf)
    const pending = Array.from({ length: 100 }, (_, n) => cache.drop(`k${n}`, 1))
    const settled = Promise.allSettled(pending)
    await cache[Symbol.asyncDispose]()
    await cache.ended
    await settled
    await assert.rejects(cache.look('k', 0), { code: 'unavailable' })
    await assert.rejects(cache.ping(), { code: 'unavailable' })
  })
}

/** With a server that is the test's own. */
export function describeSharedCacheOutages(
  cache: () => SharedCache,
  server: () => { kill(): Promise<void>; start(): Promise<void> },
): void {
  test('a connection that is lost says so, and stays lost; another one works', async () => {
    const connection = await cache().connect(() => {})
    await connection.ping()
    const ended = connection.ended
    await server().kill()
    await ended
    await assert.rejects(connection.look('k', 0), { code: 'unavailable' })
    await assert.rejects(
      cache().connect(() => {}),
      { code: 'unavailable' },
    )
    await server().start()
    await assert.rejects(connection.look('k', 0), { code: 'unavailable' })
    const heard: string[] = []
    await using next = await cache().connect((key) => void heard.push(key))
    await next.announce('k', 1)
    await eventually(() => assert.deepEqual(heard, ['k']))
    await connection[Symbol.asyncDispose]()
  })
}
