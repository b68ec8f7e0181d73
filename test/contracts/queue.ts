// What the queue port promises, on every adapter: each adapter's test file calls this with its own way
// of opening a queue that nobody else uses.

import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type { Answer, BellHandler, Queue } from '../../src/queue/queue.ts'
import { eventually } from '../support/eventually.ts'

export interface TestQueue extends AsyncDisposable {
  queue: Queue
  /** The same queue as another process has it. */
  another: Queue
  /** So many jobs that are about to be announced; returns their ids. */
  jobs(count: number): Promise<string[]>
  /** What a worker's handler does about a bell: afterwards it need not ring again. */
  answer(jobId: string): Promise<Answer>
}

export function describeQueue(name: string, create: () => Promise<TestQueue>): void {
  describe(`the queue port (${name})`, () => {
    let open: TestQueue
    let queue: Queue
    let stopping: AbortController
    let listening: Promise<void>[] = []
    before(async () => {
      open = await create()
      queue = open.queue
    })
    after(() => open[Symbol.asyncDispose]())
    afterEach(async () => {
      stopping?.abort()
      await Promise.all(listening)
      listening = []
    })

    const listen = (handler: BellHandler, concurrency = 4, by = queue) => {
      if (listening.length === 0) stopping = new AbortController()
      const ended = by.listen(handler, { concurrency, signal: stopping.signal })
      listening.push(ended)
      return ended
    }
    const announceSome = async (count: number, by = queue) => {
      const ids = await open.jobs(count)
      await by.announce(ids)
      return ids
    }
    /** A handler that answers each bell and remembers it. */
    const answering = () => {
      const heard: string[] = []
      const handler = async (id: string) => {
        const answer = await open.answer(id)
        heard.push(id)
        return answer
      }
      return { heard, handler }
    }
    const sameSet = (heard: readonly string[], ids: readonly string[]) =>
      assert.deepEqual([...new Set(heard)].sort(), [...ids].sort())

    test('what is announced is heard', async () => {
      const { heard, handler } = answering()
      listen(handler)
      const ids = await announceSome(100)
      await eventually(() => sameSet(heard, ids))
    })

    test('what was announced before anybody listened is heard too', async () => {
      const ids = await announceSome(10)
      const { heard, handler } = answering()
      listen(handler)
      await eventually(() => sameSet(heard, ids))
    })

    test('what another process announces is heard', async () => {
      const { heard, handler } = answering()
      listen(handler)
      const ids = await announceSome(10, open.another)
      await eventually(() => sameSet(heard, ids))
    })

    test('what a hundred announce at once is heard', async () => {
      const { heard, handler } = answering()
      listen(handler)
      const ids = await Promise.all(Array.from({ length: 100 }, () => announceSome(1)))
      await eventually(() => sameSet(heard, ids.flat()))
    })

    test('what is announced twice, or again once it was answered, is heard, and leaves nothing behind', async () => {
      const { heard, handler } = answering()
      listen(handler)
      const ids = await open.jobs(10)
      await queue.announce([...ids, ...ids])
      await open.another.announce(ids)
      await eventually(() => sameSet(heard, ids))
      await queue.announce(ids)
      const more = await announceSome(10)
      await eventually(() => sameSet(heard, [...ids, ...more]))
      await eventually(async () => {
        const { bells = 0, lag = 0, dead_letters = 0 } = (await queue.ping()) ?? {}
        assert.deepEqual({ bells, lag, dead_letters }, { bells: 0, lag: 0, dead_letters: 0 })
      })
    })

    test('two that listen share what is announced', async () => {
      const [first, second] = [answering(), answering()]
      listen(first.handler, 1)
      listen(second.handler, 1, open.another)
      const ids: string[] = []
      // However long it takes until both of them are known to the queue.
      await eventually(async () => {
        ids.push(...(await announceSome(100)))
        await eventually(() => sameSet([...first.heard, ...second.heard], ids))
        assert.ok(first.heard.length > 0 && second.heard.length > 0)
      })
    })

    test('at most so many calls are under way, and never two of one id', async () => {
      const underWay = new Set<string>()
      let calls = 0
      let most = 0
      const full = Promise.withResolvers<void>()
      const heard: string[] = []
      listen(async (id) => {
        most = Math.max(most, ++calls)
        if (calls === 3) full.resolve()
        assert.ok(!underWay.has(id), 'called twice at once')
        underWay.add(id)
        await full.promise
        await new Promise((resolve) => setTimeout(resolve, 5))
        const answer = await open.answer(id)
        underWay.delete(id)
        calls--
        heard.push(id)
        return answer
      }, 3)
      const ids = await announceSome(30)
      await eventually(() => sameSet(heard, ids))
      assert.equal(most, 3)
    })

    test('a call that does not end leaves the others their places', async () => {
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      const { heard, handler } = answering()
      let stuck: string | undefined
      listen(async (id) => {
        stuck ??= id
        if (stuck === id) await gate
        return await handler(id)
      }, 2)
      const ids = await announceSome(20)
      await eventually(() => assert.equal(heard.length, 19))
      release()
      await eventually(() => sameSet(heard, ids))
    })

    test('a handler that rejects, or throws, ends nothing', async () => {
      const { heard, handler } = answering()
      const failed = new Set<string>()
      listen((id) => {
        if (failed.size >= 4) return handler(id)
        failed.add(id)
        if (failed.size % 2) throw new Error('thrown')
        return Promise.reject(new Error('rejected'))
      })
      const ids = await announceSome(20)
      await eventually(() => {
        const missed = ids.filter((id) => !heard.includes(id))
        assert.ok(missed.every((id) => failed.has(id)))
      })
      for (const id of failed) await open.answer(id)
    })

    test('an abort ends the listening once the calls under way have ended, and calls no more', async () => {
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      const calls: string[] = []
      let hasEnded = false
      const ended = listen(async (id) => {
        calls.push(id)
        await gate
        return await open.answer(id)
      }, 2).then(() => {
        hasEnded = true
      })
      const ids = await announceSome(6)
      await eventually(() => assert.equal(calls.length, 2))
      stopping.abort()
      await new Promise(setImmediate)
      assert.equal(hasEnded, false)
      release()
      await ended
      assert.equal(calls.length, 2)
      for (const id of ids) if (!calls.includes(id)) await open.answer(id)
    })

    test('who is aborted before listening hears nothing', async () => {
      const ids = await announceSome(1)
      const { heard, handler } = answering()
      await queue.listen(handler, { concurrency: 1, signal: AbortSignal.abort() })
      assert.deepEqual(heard, [])
      for (const id of ids) await open.answer(id)
    })

    test('announcing nothing is no error, and a ping is answered', async () => {
      await queue.announce([])
      await queue.ping()
    })
  })
}
