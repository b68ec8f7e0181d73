import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../errors.ts'
import { createReadThrough } from './read-through.ts'

interface Value {
  version: number
}

/** A row that is written at once and read in two steps, so that a test may write in between. */
function createStore() {
  let version = 1
  let loads = 0
  const waiting: (() => void)[] = []
  return {
    write: () => ++version,
    restore: (to: number) => {
      version = to
    },
    loads: () => loads,
    /** Lets the oldest load answer with what it saw when it began. */
    answer: () => waiting.shift()?.(),
    /** Those that come of the answers too. */
    answerAll: async () => {
      while (waiting.length > 0) {
        waiting.shift()?.()
        await settle()
      }
    },
    load: () => {
      loads++
      const seen: Value = { version }
      return new Promise<Value>((resolve) => waiting.push(() => resolve(seen)))
    },
    loadAtOnce: async () => {
      loads++
      return { version }
    },
  }
}

const settle = () => new Promise(setImmediate)
const always = { maxBytes: 10_000, maxStaleMs: 30_000, sizeOf: () => 10 }
/** Of a process that knows of every change. */
const told = { ...always, currentAsOf: () => performance.now() }

test('a hit asks nobody', async () => {
  const store = createStore()
  const cache = createReadThrough({ ...told, load: store.loadAtOnce })
  await cache.get('p')
  await cache.get('p')
  assert.equal(store.loads(), 1)
})

test('a value that is good until then is not served from then on, though the truth is away', async (context) => {
  context.mock.timers.enable({ apis: ['Date'], now: 1_000 })
  let isAway = false
  const cache = createReadThrough({
    ...told,
    load: async () => {
      if (isAway) throw new AppError('unavailable', 'away')
      return { version: 1, goodUntil: Date.now() + 500, loadedAt: Date.now() }
    },
  })
  await cache.get('p')
  context.mock.timers.tick(499)
  assert.equal(cache.recall('p')?.loadedAt, 1_000)
  context.mock.timers.tick(1)
  assert.equal(cache.recall('p'), undefined)
  assert.equal((await cache.get('p'))?.value.loadedAt, 1_500)
  isAway = true
  context.mock.timers.tick(500)
  await assert.rejects(cache.get('p'), /away/)
})

test('a cache of no bytes keeps nothing', async () => {
  const store = createStore()
  const cache = createReadThrough({ ...told, maxBytes: 0, load: store.loadAtOnce })
  await cache.get('p')
  await cache.get('p')
  assert.equal(store.loads(), 2)
  assert.equal(cache.figures().entries, 0)
})

test('a reader that loaded before the write cannot refill the cache with what it saw', async () => {
  const store = createStore()
  const cache = createReadThrough({ ...told, load: store.load })
  const early = cache.get('p')
  cache.follow('p', store.write())
  const late = cache.get('p')
  await store.answerAll()
  assert.equal((await late)?.value.version, 2)
  assert.equal((await early)?.value.version, 2, 'its load is repeated')
  assert.equal((await cache.get('p'))?.value.version, 2)
})

test('what was seen of a truth that was restored is not served, nor what was being loaded of it', async () => {
  const store = createStore()
  const cache = createReadThrough({ ...told, load: store.load })
  for (let n = 0; n < 8; n++) store.write()
  const known = cache.get('p')
  await store.answerAll()
  assert.equal((await known)?.value.version, 9)
  const underWay = cache.get('q')
  store.restore(1)
  cache.restart()
  const [first, joined] = [cache.get('p'), cache.get('q')]
  await store.answerAll()
  assert.equal((await first)?.value.version, 1)
  assert.equal((await underWay)?.value.version, 1, 'its load is repeated')
  assert.equal((await joined)?.value.version, 1)
  assert.equal(cache.recall('q')?.version, 1)
  cache.follow('p', store.write())
  const after = cache.get('p')
  await store.answerAll()
  assert.equal((await after)?.value.version, 2)
  assert.equal(cache.recall('p')?.version, 2, 'it is remembered under the new count')
})

test('a load from before a change that was only told of does not bring it back', async () => {
  for (const isGone of [false, true]) {
    const store = createStore()
    const loading = [Promise.withResolvers<Value | undefined>()]
    const cache = createReadThrough({ ...told, load: () => loading.at(-1)!.promise })
    const early = cache.get('p')
    cache.hear('p', store.write())
    loading.push(Promise.withResolvers())
    const late = cache.get('p')
    const now = isGone ? undefined : { version: 2 }
    // Both at once, the later first.
    loading[1]?.resolve(now)
    loading[0]?.resolve({ version: 1 })
    assert.deepEqual((await late)?.value, now)
    assert.deepEqual((await early)?.value, now)
    assert.equal(cache.recall('p')?.version, now?.version)
  }
})

test('readers of one key share one load, but not one that began before the last write', async () => {
  const store = createStore()
  const cache = createReadThrough({ ...told, load: store.load })
  const first = [cache.get('p'), cache.get('p')]
  assert.equal(store.loads(), 1)
  cache.follow('p', store.write())
  const second = [cache.get('p')]
  assert.equal(store.loads(), 2)
  cache.hear('p', 2)
  second.push(cache.get('p'))
  assert.equal(store.loads(), 2, 'of what is known already nobody has to be told')
  await store.answerAll()
  await Promise.all([...first, ...second])
})

test('a process that was told nothing for a while bypasses its memory', async () => {
  const store = createStore()
  let now = 0
  const cache = createReadThrough({
    ...always,
    load: store.loadAtOnce,
    currentAsOf: () => 0,
    now: () => now,
  })
  await cache.get('p')
  store.write()
  assert.equal((await cache.get('p'))?.value.version, 1)
  now = 3_001
  assert.equal((await cache.get('p'))?.value.version, 2)
})

test('while the truth is away an entry answers for maxStaleMs more, with its age, then no longer', async () => {
  let now = 0
  let isDown = false
  const load = async () => {
    if (isDown) throw new AppError('unavailable', 'down')
    return { version: 1 }
  }
  const cache = createReadThrough({ ...always, load, currentAsOf: () => 0, now: () => now })
  await cache.get('p')
  isDown = true
  now = 12_500
  assert.deepEqual(await cache.get('p'), { value: { version: 1 }, ageSeconds: 13 })
  now = 30_001
  await assert.rejects(cache.get('p'), { code: 'unavailable' })
  await assert.rejects(cache.get('unknown'), { code: 'unavailable' })
})

/** A cache that has an entry, of a truth that answers no more unless it is told to, at a time that a test moves. */
async function rememberingSilent({ patienceMs }: { patienceMs: number }) {
  const store = createStore()
  const clock = { now: 0 }
  const cache = createReadThrough({
    ...always,
    load: store.load,
    currentAsOf: () => 0,
    now: () => clock.now,
    patienceMs,
  })
  const first = cache.get('p')
  store.answer()
  await first
  return { cache, store, clock }
}

test('a truth that is silent counts as away for who has an entry, once for all readers', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { cache, store, clock } = await rememberingSilent({ patienceMs: 300 })
  clock.now = 12_500
  const patient = cache.get('p')
  context.mock.timers.tick(300)
  assert.deepEqual(await patient, { value: { version: 1 }, ageSeconds: 13 })
  clock.now += 300
  const next = cache.get('p')
  context.mock.timers.tick(1) // the load that is late is not awaited again
  assert.deepEqual(await next, { value: { version: 1 }, ageSeconds: 13 })
  clock.now = 30_001
  let isAnswered = false
  const late = cache.get('p').finally(() => {
    isAnswered = true
  })
  context.mock.timers.tick(1)
  await settle()
  assert.ok(!isAnswered, 'but not for ever')
  store.answer()
  assert.deepEqual(await late, { value: { version: 1 } })
})

test('a write drops what a reader held while it waited for a silent truth', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { cache, store, clock } = await rememberingSilent({ patienceMs: 20 })
  clock.now = 5_000
  const waiting = cache.get('p')
  cache.follow('p', store.write())
  context.mock.timers.tick(20)
  await settle()
  await store.answerAll()
  assert.deepEqual(await waiting, { value: { version: 2 } })
})

test('no interleaving of writes, loads and messages serves less than the last write that was answered', async () => {
  const step = fc.constantFrom('read', 'write', 'answer', 'message', 'announcement', 'lie')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const store = createStore()
      const cache = createReadThrough({ ...told, load: store.load })
      const reads: Promise<void>[] = []
      let written = 1
      for (const what of steps) {
        if (what === 'read') {
          const atLeast = written
          reads.push(
            cache.get('p').then((found) => assert.ok((found?.value.version ?? 0) >= atLeast)),
          )
        }
        if (what === 'write') {
          written = store.write()
          cache.follow('p', written)
        }
        if (what === 'answer') store.answer()
        if (what === 'message') cache.follow('p', Math.max(1, written - 1))
        // Of another process, after its commit.
        if (what === 'announcement') cache.hear('p', store.write())
        if (what === 'lie') cache.hear('p', written + 1_000)
        await settle()
      }
      await store.answerAll()
      await Promise.all(reads)
    }),
    { numRuns: 300 },
  )
})
