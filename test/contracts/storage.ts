// What the storage port promises, on every adapter: each adapter's test file calls this with its own
// way of opening an empty storage.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isAppError } from '../../src/errors.ts'
import { openStorage, type StorageOptions } from '../../src/storage/open.ts'
import type { ByteRange, Storage } from '../../src/storage/storage.ts'
import { eventually } from '../support/eventually.ts'

export interface TestStorage extends AsyncDisposable {
  /** How another process opens the same files. */
  options: StorageOptions
}

const TWO = Buffer.from('22')
const jpeg = { contentType: 'image/jpeg' }
const WRITER = fileURLToPath(new URL('../support/storage-writer.ts', import.meta.url))

export function describeStorage(name: string, create: () => Promise<TestStorage>): void {
  describe(`the storage port (${name})`, () => {
    let fresh: TestStorage
    let storage: Storage
    let keys = 0
    const freshKey = () => `renditions/3f/${'a'.repeat(64)}/default-${++keys}.jpg`
    before(async () => {
      fresh = await create()
      storage = await openStorage(fresh.options)
    })
    after(async () => {
      await storage[Symbol.asyncDispose]()
      await fresh[Symbol.asyncDispose]()
    })

    test('a mark is found again by everybody, and is no file', async () => {
      assert.deepEqual(await storage.marks(), [])
      await Promise.all([storage.mark('one'), storage.mark('one')])
      assert.deepEqual(await storage.marks(), ['one'])
      await using other = await openStorage(fresh.options)
      await other.mark('two')
      assert.deepEqual((await storage.marks()).sort(), ['one', 'two'])
      for await (const { key } of storage.list()) assert.doesNotMatch(key, /one|two/)
    })

    test('what was put is read back, with its size and type', async () => {
      const key = freshKey()
      const body = randomBytes(200_000)
      await storage.put(key, body, jpeg)
      const file = await storage.open(key)
      assert.equal(file?.size, body.length)
      assert.equal(file?.contentType, 'image/jpeg')
      assert.deepEqual(await read(storage, key), body)
    })

    for (const [extension, contentType] of Object.entries(types)) {
      test(`a .${extension} file is ${contentType}`, async () => {
        const key = `types/picture.${extension}`
        await storage.put(key, Buffer.from('x'), { contentType })
        assert.equal((await storage.open(key))?.contentType, contentType)
      })
    }

    test('a type that the extension does not stand for is a defect and stores nothing', async () => {
      for (const key of ['type/a.png', 'type/a', 'type/a.exe', 'type/a.JPG']) {
        await rejectsAsDefect(storage.put(key, Buffer.from('x'), jpeg))
        assert.equal(await storage.open(key), undefined)
      }
    })

    test('a file that is not there is undefined, and removing it is no error', async () => {
      const key = freshKey()
      assert.equal(await storage.open(key), undefined)
      await storage.remove(key)
      assert.equal(await storage.open('nothing/here/at/all.jpg'), undefined)
      await storage.remove('nothing/here/at/all.jpg')
    })

    test('a folder of files is not a file', async () => {
      await storage.put('folder.jpg/file.jpg', Buffer.from('x'), jpeg)
      assert.equal(await storage.open('folder.jpg'), undefined)
      await storage.remove('folder.jpg')
      assert.deepEqual(await read(storage, 'folder.jpg/file.jpg'), Buffer.from('x'))
    })

    test('a removed file is gone and its key can be put again', async () => {
      const key = freshKey()
      await storage.put(key, Buffer.from('one'), jpeg)
      await storage.remove(key)
      assert.equal(await storage.open(key), undefined)
      await storage.put(key, Buffer.from('two'), jpeg)
      assert.deepEqual(await read(storage, key), Buffer.from('two'))
    })

    test('a second put replaces the whole file', async () => {
      const key = freshKey()
      await storage.put(key, Buffer.from('a long first version'), jpeg)
      await storage.put(key, Buffer.from('short'), jpeg)
      assert.deepEqual(await read(storage, key), Buffer.from('short'))
    })

    test('a file replaced or removed between open and read is an error, never other bytes', async () => {
      const key = freshKey()
      await storage.put(key, Buffer.from('first'), jpeg)
      const first = await storage.open(key)
      await storage.put(key, Buffer.from('other'), jpeg)
      assert.ok(first)
      await assert.rejects(collect(first.read()), (error) => isAppError(error, 'storage_failed'))
      const second = await storage.open(key)
      await storage.remove(key)
      assert.ok(second)
      await assert.rejects(collect(second.read()), (error) => isAppError(error, 'storage_failed'))
    })

    test('0 bytes and 25 MiB are files like any other', async () => {
      for (const size of [0, 25 * 1024 * 1024]) {
        const key = freshKey()
        const body = randomBytes(size)
        await storage.put(key, body, jpeg)
        assert.equal((await storage.open(key))?.size, size)
        assert.equal(sha256(await read(storage, key)), sha256(body))
      }
    })

    test('a range gives exactly its bytes', async () => {
      const key = freshKey()
      const body = randomBytes(150_001)
      await storage.put(key, body, jpeg)
      const ranges: ByteRange[] = [
        { start: 0, end: 0 },
        { start: 0, end: 65_535 },
        { start: 65_535, end: 65_536 },
        { start: 70_000, end: 149_999 },
        { start: 150_000, end: 150_000 },
        { start: 0, end: 150_000 },
      ]
      for (const { start, end } of ranges)
        assert.deepEqual(
          await read(storage, key, { start, end }),
          body.subarray(start, end + 1),
          `${start}–${end}`,
        )
    })

    test('a range that is not inside the file is a RangeError', async () => {
      const [key, empty] = [freshKey(), freshKey()]
      await storage.put(key, Buffer.from('ten bytes!'), jpeg)
      await storage.put(empty, Buffer.alloc(0), jpeg)
      const bad = [
        { start: 0, end: 10 },
        { start: 10, end: 10 },
        { start: 5, end: 4 },
        { start: -1, end: 3 },
        { start: 0.5, end: 3 },
        { start: Number.NaN, end: 3 },
      ]
      for (const range of bad) await assert.rejects(read(storage, key, range), RangeError)
      await assert.rejects(read(storage, empty, { start: 0, end: 0 }), RangeError)
    })

    test('a reader may stop early, and the file can still be read and removed', async () => {
      const key = freshKey()
      await storage.put(key, randomBytes(1_000_000), jpeg)
      const file = await storage.open(key)
      assert.ok(file)
      for await (const chunk of file.read()) {
        assert.ok(chunk.length > 0)
        break
      }
      assert.equal((await read(storage, key)).length, 1_000_000)
      await storage.remove(key)
    })

    test('100 files put at once are all there, whole', async () => {
      const files = Array.from({ length: 100 }, () => ({
        key: freshKey(),
        body: randomBytes(20_000),
      }))
      await Promise.all(files.map(({ key, body }) => storage.put(key, body, jpeg)))
      for (const { key, body } of files) assert.deepEqual(await read(storage, key), body)
    })

    test('100 puts under one key leave one of them, whole, and readers see whole files only', async () => {
      const key = freshKey()
      const body = (n: number) => Buffer.alloc(30_000 + n, n)
      await storage.put(key, body(0), jpeg)
      const seen = async () => {
        const found = await read(storage, key).catch((error) => {
          assert.ok(isAppError(error, 'storage_failed'), error)
        })
        if (found) assert.deepEqual(found, body(Math.max(0, found.length - 30_000)))
        return found
      }
      const puts = Array.from({ length: 100 }, (_, n) => storage.put(key, body(n), jpeg))
      await Promise.all([...puts, ...Array.from({ length: 100 }, seen)])
      assert.ok(await seen())
    })

    test('an aborted put throws the reason and stores nothing', async () => {
      const reason = new Error('the attempt is over')
      const key = freshKey()
      await assert.rejects(
        storage.put(key, Buffer.from('x'), { ...jpeg, signal: AbortSignal.abort(reason) }),
        reason,
      )
      assert.equal(await storage.open(key), undefined)
    })

    test('a put aborted on the way stores all or nothing and tells which', async () => {
      const body = randomBytes(4 * 1024 * 1024)
      for (let turns = 0; turns < 20; turns++) {
        const key = freshKey()
        const reason = new Error(`aborted after ${turns} turns`)
        const controller = new AbortController()
        const put = storage.put(key, body, { ...jpeg, signal: controller.signal }).then(
          () => 'stored',
          (error) => error,
        )
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        controller.abort(reason)
        const result = await put
        const file = await storage.open(key)
        if (result === 'stored') assert.equal(file?.size, body.length)
        else assert.equal(result, reason)
        if (file) assert.equal(sha256(await read(storage, key)), sha256(body))
      }
    })

    test('an abort leaves the file that was there before', async () => {
      const key = freshKey()
      await storage.put(key, Buffer.from('before'), jpeg)
      const controller = new AbortController()
      const put = storage.put(key, randomBytes(25_000_000), { ...jpeg, signal: controller.signal })
      controller.abort()
      await assert.rejects(put, { name: 'AbortError' })
      assert.deepEqual(await read(storage, key), Buffer.from('before'))
    })

    for (const key of hostileKeys) {
      test(`the key ${JSON.stringify(key).slice(0, 40)} is a defect, whatever is done with it`, async () => {
        await rejectsAsDefect(storage.put(key, Buffer.from('x'), jpeg))
        await rejectsAsDefect(storage.open(key))
        await rejectsAsDefect(storage.remove(key))
      })
    }

    test('keys at the limits of their form work', async () => {
      const segment = `${'a'.repeat(251)}.jpg`
      for (const key of [
        `${segment}`,
        `${'a'.repeat(255)}/${segment}`,
        '_-/a..b.jpg',
        'a.b-c_d.jpg',
      ]) {
        await storage.put(key, Buffer.from(key), jpeg)
        assert.deepEqual(await read(storage, key), Buffer.from(key))
      }
    })

    test('a list has every file once, with the time of its last put, and no removed one', async () => {
      const started = Date.now()
      const keys = Array.from({ length: 30 }, (_, n) => `listed/${n % 3}/${n % 7}/${n}.jpg`)
      await Promise.all([...keys, 'listed/removed.jpg'].map((key) => storage.put(key, TWO, jpeg)))
      await storage.put(keys[0] ?? '', Buffer.from('again'), jpeg)
      await storage.remove('listed/removed.jpg')
      const listed = await Array.fromAsync(storage.list())
      const ours = listed.filter(({ key }) => key.startsWith('listed/'))
      assert.deepEqual(ours.map(({ key }) => key).sort(), keys.sort())
      assert.equal(new Set(listed.map(({ key }) => key)).size, listed.length)
      for (const { key, putAt } of ours) {
        // The clocks may differ, and be kept in whole seconds.
        assert.ok(Math.abs(putAt.getTime() - started) < 60_000, `${key}: ${putAt.toISOString()}`)
      }
    })

    test('files may go while a list is read, and a list can be left early', async () => {
      const keys = Array.from({ length: 20 }, (_, n) => `going/${n}/file.jpg`)
      await Promise.all(keys.map((key) => storage.put(key, TWO, jpeg)))
      const list = storage.list()[Symbol.asyncIterator]()
      assert.ok(!(await list.next()).done)
      await Promise.all(keys.map((key) => storage.remove(key)))
      while (!(await list.next()).done);
      for await (const { key } of storage.list()) assert.ok(!keys.includes(key), key)
      for await (const { key } of storage.list()) {
        assert.ok(key)
        break
      }
    })

    test('URL references are a prefix and the key', () => {
      assert.match(storage.urlPrefix, /\/$/)
    })

    test('it says where it is', () => {
      assert.notEqual(storage.place, '')
    })

    test('ping leaves nothing and resolves', async () => {
      // One that the machine holds up is refused: a health check does not wait longer.
      await eventually(() => storage.ping())
    })

    test('another opening of the same files sees them', async () => {
      const key = freshKey()
      await storage.put(key, Buffer.from('shared'), jpeg)
      await using other = await openStorage(fresh.options)
      assert.deepEqual(await read(other, key), Buffer.from('shared'))
    })

    test('closing while busy waits for what is under way and refuses what comes after', async () => {
      const closing = await openStorage(fresh.options)
      const files = Array.from({ length: 10 }, () => ({
        key: freshKey(),
        body: randomBytes(500_000),
      }))
      let stored = 0
      const puts = files.map(({ key, body }) => closing.put(key, body, jpeg).then(() => stored++))
      await closing[Symbol.asyncDispose]()
      assert.equal(stored, files.length)
      await Promise.all(puts)
      for (const { key, body } of files) assert.deepEqual(await read(storage, key), body)
      await rejectsAsDefect(closing.put(freshKey(), Buffer.from('x'), jpeg))
      await rejectsAsDefect(closing.open(freshKey()))
      await rejectsAsDefect(closing.ping())
      await rejectsAsDefect(Promise.try(() => Array.fromAsync(closing.list())))
      await closing[Symbol.asyncDispose]()
    })

    test('kill -9 of a writer never leaves a part of a file under a key', async () => {
      let whole = 0
      for (let round = 0; round < 12; round++) {
        await using writer = await startWriter(fresh.options, `killed/${round}`)
        await writer.wrote(1)
        await delay(round * 2) // anywhere in the next file
        writer.process.kill('SIGKILL')
        await writer.ended
        const { acknowledged } = writer
        for (let n = 0; n < acknowledged + 2; n++) {
          const key = `killed/${round}/${n}.jpg`
          const file = await storage.open(key)
          assert.ok(file || n >= acknowledged, `${key} was acknowledged and is not there`)
          if (!file) continue
          whole++
          const body = await read(storage, key)
          // The writer fills a file with its number; its size is fixed.
          assert.equal(body.length, WRITER_BYTES)
          assert.equal(sha256(body), sha256(Buffer.alloc(WRITER_BYTES, n)))
        }
      }
      assert.ok(whole >= 10, `only ${whole} files were written before the kills`)
    })
  })
}

export interface TestOutage extends TestStorage {
  /** Nothing can be read or written from then on. */
  takeAway(): Promise<void>
  bringBack(): Promise<void>
}

export function describeStorageOutage(name: string, create: () => Promise<TestOutage>): void {
  describe(`the storage port while its store is away (${name})`, () => {
    test('calls fail within seconds, and work again once it is back, with what was there', async () => {
      await using fresh = await create()
      await using storage = await openStorage(fresh.options)
      const isStorageFailed = (error: unknown) => isAppError(error, 'storage_failed')
      const body = randomBytes(100_000)
      await storage.put('outage/before.jpg', body, jpeg)
      const opened = await storage.open('outage/before.jpg')
      assert.ok(opened)

      await fresh.takeAway()
      const startedAt = performance.now()
      await Promise.all([
        assert.rejects(storage.put('outage/during.jpg', body, jpeg), isStorageFailed),
        assert.rejects(collect(opened.read()), isStorageFailed),
        assert.rejects(storage.open('outage/before.jpg'), isStorageFailed),
        assert.rejects(storage.remove('outage/before.jpg'), isStorageFailed),
        assert.rejects(storage.ping(), isStorageFailed),
        assert.rejects(Array.fromAsync(storage.list()), isStorageFailed),
        assert.rejects(storage.marks(), isStorageFailed),
        assert.rejects(openStorage(fresh.options), isStorageFailed),
      ])
      assert.ok(performance.now() - startedAt < 15_000)

      await fresh.bringBack()
      await eventually(() => storage.ping())
      assert.deepEqual(await collect(opened.read()), body)
      await storage.put('outage/after.jpg', body, jpeg)
      assert.deepEqual(await read(storage, 'outage/after.jpg'), body)
    })

    test('what is under way when it goes ends whole or not at all', async () => {
      await using fresh = await create()
      await using storage = await openStorage(fresh.options)
      const body = randomBytes(2_000_000)
      const keys = Array.from({ length: 30 }, (_, n) => `outage/${n}.jpg`)
      const puts = keys.map((key) => storage.put(key, body, jpeg).then(() => key))
      await Promise.any(puts)
      await fresh.takeAway()
      const outcomes = await Promise.allSettled(puts)
      await fresh.bringBack()
      await eventually(() => storage.ping())
      for (const [n, outcome] of outcomes.entries()) {
        const found = await storage.open(keys[n] ?? '')
        if (outcome.status === 'fulfilled') assert.ok(found, keys[n])
        else assert.ok(isAppError(outcome.reason, 'storage_failed'), outcome.reason)
        if (found) assert.equal(sha256(await collect(found.read())), sha256(body))
      }
    })
  })
}

const types = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  gif: 'image/gif',
  avif: 'image/avif',
}

const hostileKeys = [
  '',
  '/',
  '.',
  '..',
  '/etc/passwd.jpg',
  '../outside.jpg',
  'a/../../outside.jpg',
  'a/./b.jpg',
  'a//b.jpg',
  'a/',
  '/a',
  '.incoming/x.jpg',
  'a/.hidden.jpg',
  'a\\b.jpg',
  'a\0b.jpg',
  'a b.jpg',
  'a%2f..%2fb.jpg',
  'ä.jpg',
  'a\nb.jpg',
  'a.jpg\n',
  'a?b.jpg',
  'C:a.jpg',
  `${'a'.repeat(256)}`,
  `${'a/'.repeat(256)}b`,
]

const WRITER_BYTES = 16 * 1024 * 1024

interface Writer extends AsyncDisposable {
  process: ChildProcess
  acknowledged: number
  /** Resolves once the writer has acknowledged this many files. */
  wrote(count: number): Promise<void>
  ended: Promise<unknown>
}

/** A process that puts `<prefix>/0.jpg`, `<prefix>/1.jpg` … until it is killed, and says each number once it is stored. */
async function startWriter(options: StorageOptions, prefix: string): Promise<Writer> {
  const child = spawn(
    process.execPath,
    [WRITER, JSON.stringify({ options, prefix, bytes: WRITER_BYTES })],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const lines = createInterface(child.stdout)
  const writer: Writer = {
    process: child,
    acknowledged: 0,
    wrote: async (count) => {
      while (writer.acknowledged < count) {
        await Promise.race([once(lines, 'line'), writer.ended])
        assert.equal(child.exitCode, null, 'the writer ended by itself')
      }
    },
    ended: once(child, 'close'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await writer.ended
    },
  }
  lines.on('line', (line) => {
    writer.acknowledged = Number(line) + 1
  })
  return writer
}

/** A plain error, not one of the family: nobody may handle it as a failure of the storage. */
async function rejectsAsDefect(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => error instanceof Error && !isAppError(error))
}

async function read(storage: Storage, key: string, range?: ByteRange): Promise<Buffer> {
  const file = await storage.open(key)
  assert.ok(file, `${key} is not there`)
  return await collect(file.read(range))
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}

function sha256(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}
