// What every broker does with messages that ask for nothing it can do, beside the contract of all queues:
// each broker's test file calls this within its suite, with its own way of looking into the dead.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { afterEach, test } from 'node:test'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { eventually } from '../support/eventually.ts'

export interface BrokerOptions<Envelope> {
  /** What this broker calls the place where messages lie. */
  place: 'queue' | 'topic'
  /** The figure that tells how many messages wait. */
  waiting: 'bells' | 'lag'
  /** Whether a dead message lies there still when somebody has taken a look at it. */
  lettersStay: boolean
  /** The one under test, with nothing in it. */
  queue(): Queue
  /** The same queue as another process has it. */
  another(): Promise<Queue>
  /** Puts a message where the queue listens. */
  send(body: Body, envelope?: Envelope): Promise<void>
  /** The only dead message; rejects while there is none. */
  letter(): Promise<Letter>
  /** Messages that only this broker can carry. */
  garbage: readonly Garbage<Envelope>[]
}

export type Body = Buffer | string | object | undefined

/** What it is, what is sent, and the reason with which it lies dead. */
export type Garbage<Envelope> = readonly [
  what: string,
  body: Body,
  reason: string,
  envelope?: Envelope,
]

export interface Letter {
  body: Body
  headers: Readonly<Record<string, unknown>>
}

export const newIds = (count: number) => Array.from({ length: count }, () => randomUUID())

const garbage: readonly Garbage<never>[] = [
  ['no JSON', 'hello', 'not_json'],
  ['bytes', Buffer.from([0, 255, 128]), 'not_json'],
  ['nothing at all', Buffer.alloc(0), 'not_json'],
  ['a list', [1, 2], 'not_ours'],
  ['the message of another service', { image_url: 'http://shop.example/a.jpg' }, 'not_ours'],
  ['an id that is none', { version: 1, job: '../../etc/passwd' }, 'not_ours'],
  ['a newer form', { version: 2, bell: 'x' }, 'unknown_version'],
  ['a large one', 'x'.repeat(900_000), 'not_json'],
]

/** Adds the tests, and returns what they are written with. Who listens stops after each test. */
export function testBroker<Envelope>(options: BrokerOptions<Envelope>) {
  const { place, waiting, lettersStay, queue, another, send, letter } = options
  let stopping = new AbortController()
  let listening: Promise<void> = Promise.resolve()
  const listen = (
    answer: (id: string) => Answer | Promise<Answer>,
    { concurrency = 4, to = queue() } = {},
  ) => {
    stopping = new AbortController()
    const heard: [string, string | undefined][] = []
    const handler = async (id: string, death?: string) => {
      heard.push([id, death])
      return await answer(id)
    }
    listening = to.listen(handler, { concurrency, signal: stopping.signal })
    return heard
  }
  const stop = async () => {
    stopping.abort()
    await listening
  }
  afterEach(stop)
  const found = () => eventually(letter)

  for (const [what, body, reason, envelope] of [...garbage, ...options.garbage]) {
    test(`${what} goes to the dead ${place} with its reason, and what follows is heard`, async () => {
      const heard = listen(() => 'heard')
      const ids = newIds(8)
      await send(body, envelope)
      await queue().announce(ids)
      await eventually(() => assert.deepEqual(heard.map(([id]) => id).sort(), [...ids].sort()))
      const kept = await found()
      assert.equal(kept.headers['vitrine-reason'], reason)
      assert.equal(typeof kept.headers['vitrine-detail'], 'string')
      assert.deepEqual(bytesOf(kept.body), bytesOf(body))
      await stop()
      await eventually(async () => {
        const { [waiting]: waits, dead_letters } = (await queue().ping()) ?? {}
        assert.deepEqual([waits, dead_letters], [0, lettersStay ? 1 : 0])
      })
    })
  }

  test(`a bell for a job that does not exist goes to the dead ${place}`, async () => {
    const heard = listen(() => 'unknown')
    const [id] = newIds(1)
    await queue().announce([id!])
    const { body, headers } = await found()
    assert.deepEqual(parsed(body), { version: 1, job: id })
    assert.equal(headers['vitrine-reason'], 'unknown_job')
    assert.equal(heard.length, 1)
  })

  test(`what is dead lies in the dead ${place} for operators, and can be put back`, async () => {
    const dead = { jobId: randomUUID(), death: randomUUID() }
    const details = {
      code: 'dns_failed',
      stage: 'download',
      attempts: 3,
      image_id: 'i',
      product_id: 'p',
    }
    await queue().bury?.([{ ...dead, details }])
    const body = parsed((await found()).body)
    assert.deepEqual(body, { ...details, version: 1, job: dead.jobId, death: dead.death })
    const heard = listen(() => 'heard')
    // As tools do that know of no key and no header.
    await send(body)
    await eventually(() => assert.deepEqual(heard, [[dead.jobId, dead.death]]))
  })

  test(`a dead message of a kind that nobody knows goes back to the dead ${place}`, async () => {
    listen(() => 'foreign')
    const message = { version: 1, job: randomUUID(), death: randomUUID() }
    await send(message)
    const { body, headers } = await found()
    assert.deepEqual(parsed(body), message)
    assert.equal(headers['vitrine-reason'], 'unknown_kind')
  })

  test('closing while announcements are under way rejects or keeps them', async () => {
    const busy = await another()
    const announced = busy.announce(newIds(1_000)).catch((error) => {
      assert.equal(error.code, 'unavailable')
    })
    await busy[Symbol.asyncDispose]()
    await announced
    await assert.rejects(busy.announce(newIds(1)), { code: 'unavailable' })
    await assert.rejects(busy.ping(), { code: 'unavailable' })
  })

  return {
    listen,
    /** Listens no more, and waits until that is so. */
    stop,
    /** Listens no more, however long that takes. */
    abort: () => stopping.abort(),
  }
}

function bytesOf(body: Body): Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

function parsed(body: Body): object {
  return JSON.parse(String(bytesOf(body)))
}
