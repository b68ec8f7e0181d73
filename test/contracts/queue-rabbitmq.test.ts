// RabbitMQ as the doorbell: the contract, and what only a broker can show.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, describe, test } from 'node:test'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { silent } from '../jobs/support.ts'
import { eventually } from '../support/eventually.ts'
import {
  type Broker,
  connectBroker,
  describeOnRabbitmq,
  rabbitmqUrl,
  serverAt,
} from '../support/rabbitmq.ts'
import { newIds, testBroker } from './broker.ts'
import { describeQueue, type TestQueue } from './queue.ts'

type Type = 'quorum' | 'classic'

function open(queue: string, type: Type = 'quorum', url = rabbitmqUrl): Promise<Queue> {
  const options = { server: serverAt(url), topology: { queue, type }, log: silent }
  return openQueue({ kind: 'rabbitmq', ...options })
}

async function create(type: Type): Promise<TestQueue> {
  const resources = new AsyncDisposableStack()
  const broker = resources.use(await connectBroker())
  const name = broker.queue()
  return {
    queue: resources.use(await open(name, type)),
    another: resources.use(await open(name, type)),
    jobs: async (count) => newIds(count),
    answer: async () => 'heard',
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describeOnRabbitmq('RabbitMQ', () => {
  describeQueue('RabbitMQ, quorum queue', () => create('quorum'))
  describeQueue('RabbitMQ, classic queue', () => create('classic'))

  describe('a queue in RabbitMQ', () => {
    let broker: Broker
    let name: string
    let dead: string
    let queue: Queue
    before(async () => {
      broker = await connectBroker()
      name = broker.queue()
      dead = `${name}.dead`
      queue = await open(name)
    })
    after(async () => {
      await queue[Symbol.asyncDispose]()
      await broker[Symbol.asyncDispose]()
    })
    const { listen, stop, abort } = testBroker<object>({
      place: 'queue',
      waiting: 'bells',
      lettersStay: false,
      queue: () => queue,
      another: () => open(name),
      send: (body, envelope) => broker.send(name, body, envelope),
      letter: async () => (await broker.take(dead)) ?? assert.fail('there is no message'),
      garbage: [
        [
          'broken JSON',
          Buffer.from('{"version":1'),
          'not_json',
          { contentType: 'application/json' },
        ],
        [
          'one with odd headers',
          'x',
          'not_json',
          {
            headers: {
              deep: { er: [1, 'a', { b: null }] },
              'vitrine-reason': 7,
              at: new Date(0),
              long: 2 ** 40,
              no: null,
            },
            messageId: 'x'.repeat(255),
            priority: 9,
          },
        ],
      ],
    })
    afterEach(async () => {
      await broker.connection.queuePurge(name)
      await broker.connection.queuePurge(dead)
    })

    const taken = (from: string) =>
      eventually(async () => (await broker.take(from)) ?? assert.fail('there is no message'))
    const isEmpty = async () =>
      assert.deepEqual({ ...(await queue.ping()), listeners: 0 }, figures(0, 0, 0))
    const figures = (bells: number, listeners: number, dead_letters: number) => ({
      bells,
      listeners,
      dead_letters,
    })

    for (const type of ['quorum', 'classic'] as const) {
      test(`headers that are too large to be sent again stay behind (${type} queue)`, async () => {
        const name = broker.queue()
        await using queue = await open(name, type)
        const heard = listen(() => 'heard', { to: queue })
        await using tools = await connectBroker(rabbitmqUrl, { frameMax: 131_072 })
        const headers = {
          sender: 'shop',
          stack: 'x'.repeat(9_000),
          ...Object.fromEntries(Array.from({ length: 99 }, (_, n) => [`h${n}`, 'x'.repeat(200)])),
        }
        await tools.send(name, 'garbage', { headers, messageId: 'mine' })
        const id = randomUUID()
        await queue.announce([id])
        await eventually(() => assert.deepEqual(heard, [[id, undefined]]))
        const { body, headers: kept } = await taken(`${name}.dead`)
        assert.equal(body, 'garbage')
        assert.equal(kept['vitrine-reason'], 'not_json')
        assert.equal(kept.sender, 'shop')
        assert.ok(!('stack' in kept) && !('h98' in kept))
        await stop()
        assert.deepEqual({ ...(await queue.ping()), listeners: 0 }, figures(0, 0, 0))
      })
    }

    test('a dead message waits until somebody can look, and is given back by who stops only', async () => {
      const body = { version: 1, job: randomUUID(), death: randomUUID() }
      const [bell] = newIds(1)
      const heard = listen(() => 'unheard')
      await broker.send(name, body)
      await queue.announce([bell!])
      await eventually(() =>
        assert.deepEqual(
          heard.map(([id]) => id).sort(),
          [body.job, body.job, body.job, bell].sort(),
        ),
      )
      await stop()
      const { body: kept, headers } = await taken(name)
      assert.deepEqual(kept, body)
      assert.equal(headers['x-delivery-count'], 1)
      await isEmpty()
    })

    test('a dead message that waits holds up nobody who has lost the queue', async () => {
      const body = { version: 1, job: randomUUID(), death: randomUUID() }
      const heard = listen((id) => (id === body.job ? 'unheard' : 'heard'))
      await broker.send(name, body)
      await eventually(() => assert.ok(heard.length > 0))
      await broker.connection.queueDelete(name)
      const [id] = newIds(1)
      await eventually(async () => {
        await queue.announce([id!])
        assert.ok(heard.some(([heardId]) => heardId === id))
      })
    })

    test('a message that nobody ever answers ends in the dead queue', async () => {
      const body = { version: 1, job: randomUUID(), death: randomUUID() }
      await broker.send(name, body)
      for (let round = 0; round < 25; round++) {
        const channel = await broker.connection.acquire()
        const message = await channel.basicGet(name)
        if (message) channel.basicNack({ deliveryTag: message.deliveryTag, requeue: true })
        await channel.close()
      }
      assert.deepEqual((await taken(dead)).body, body)
    })

    test('what is heard is out of the queue before its work is done; what is given back is not lost', async () => {
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      const heard = listen(
        async () => {
          if (heard.length <= 2) return 'heard'
          await gate
          return 'unheard'
        },
        { concurrency: 2 },
      )
      await queue.announce(newIds(10))
      await eventually(() => assert.equal(heard.length, 4))
      await eventually(async () => assert.deepEqual(await queue.ping(), figures(6, 1, 0)))
      abort()
      release()
      await stop()
      await eventually(async () => assert.deepEqual(await queue.ping(), figures(8, 0, 0)))
    })

    test('a queue that is deleted comes back, with whoever listened', async () => {
      const heard = listen(() => 'heard')
      await queue.announce(newIds(1))
      await eventually(() => assert.equal(heard.length, 1))
      await broker.connection.queueDelete(name)
      const [id] = newIds(1)
      await eventually(async () => {
        await queue.announce([id!])
        assert.ok(heard.some(([heardId]) => heardId === id))
      })
    })

    test('a queue of the dead that is deleted comes back with the next message for it', async () => {
      const letter = () => ({ jobId: randomUUID(), death: randomUUID(), details: {} })
      await broker.connection.queueDelete(dead)
      assert.deepEqual(await queue.ping(), figures(0, 0, 0))
      await assert.rejects(queue.bury!([letter()]), { code: 'unavailable' })
      const { jobId, ...rest } = letter()
      await queue.bury!([{ jobId, ...rest }])
      assert.equal((await taken(dead)).body.job, jobId)

      await broker.connection.queueDelete(dead)
      listen(() => 'heard')
      await broker.send(name, 'garbage')
      assert.equal((await taken(dead)).body, 'garbage')
    })
  })

  describe('a queue of the dead that is full', () => {
    let broker: Broker
    let name: string
    let queue: Queue
    before(async () => {
      broker = await connectBroker()
      name = broker.queue()
      const limit = { 'x-max-length': 1, 'x-overflow': 'reject-publish' } as const
      await broker.connection.queueDeclare({
        queue: `${name}.dead`,
        durable: true,
        arguments: limit,
      })
      queue = await open(name, 'classic')
    })
    after(async () => {
      await queue[Symbol.asyncDispose]()
      await broker[Symbol.asyncDispose]()
    })
    const letter = () => ({ jobId: randomUUID(), death: randomUUID(), details: {} })

    test('takes no letters, which a ping tells of until it has room, and bells do not notice', async () => {
      const first = letter()
      await queue.bury!([first])
      for (let round = 0; round < 5; round++)
        await Promise.all([
          assert.rejects(queue.bury!([letter()]), { code: 'unavailable' }),
          queue.announce(newIds(1_000)),
        ])
      await assert.rejects(queue.ping(), { code: 'unavailable', message: /dead takes no messages/ })
      assert.equal((await broker.take(`${name}.dead`))?.body.job, first.jobId)
      await queue.bury!([letter()])
      assert.deepEqual(await queue.ping(), { bells: 5_000, listeners: 0, dead_letters: 1 })
      await broker.connection.queuePurge(name)
    })

    test('keeps no message that is no bell going round', async () => {
      await queue.bury!([letter()]).catch(() => {})
      const heard: string[] = []
      const handler = async (id: string): Promise<Answer> => {
        heard.push(id)
        return 'heard'
      }
      const stopping = new AbortController()
      const ended = queue.listen(handler, { concurrency: 1, signal: stopping.signal })
      await broker.send(name, 'garbage')
      const [id] = newIds(1)
      await queue.announce([id!])
      await eventually(() => assert.deepEqual(heard, [id]))
      stopping.abort()
      await ended
      assert.equal(
        (await broker.connection.queueDeclare({ queue: name, passive: true })).messageCount,
        0,
      )
    })
  })

  describe('a queue that was declared otherwise', () => {
    let broker: Broker
    before(async () => {
      broker = await connectBroker()
    })
    after(() => broker[Symbol.asyncDispose]())

    const declared = async (options: object) => {
      const queue = broker.queue()
      await broker.connection.queueDeclare({ queue, durable: true, ...options })
      return queue
    }
    const others: [string, object][] = [
      ['a plain one', {}],
      ['one with a limit', { arguments: { 'x-max-length': 10_000, 'x-message-ttl': 3_600_000 } }],
      ['one that does not last', { durable: false }],
      ['a quorum queue without dead letters', { arguments: { 'x-queue-type': 'quorum' } }],
    ]
    for (const [what, options] of others) {
      test(`${what} is refused with what to do, and used as it is where that is asked for`, async () => {
        const name = await declared(options)
        await assert.rejects(open(name), (error: Error) => {
          for (const part of [
            name,
            /inequivalent/,
            /delete it/,
            /RABBITMQ_IMAGE_QUEUE/,
            /RABBITMQ_QUEUE_TYPE=classic/,
          ])
            assert.match(error.message, part instanceof RegExp ? part : new RegExp(part))
          return true
        })
        await using queue = await open(name, 'classic')
        const [id] = newIds(1)
        await queue.announce([id!])
        await broker.send(name, 'garbage')
        const stopping = new AbortController()
        const heard: string[] = []
        const handler = async (jobId: string): Promise<Answer> => {
          heard.push(jobId)
          return 'heard'
        }
        const ended = queue.listen(handler, { concurrency: 2, signal: stopping.signal })
        await eventually(() => assert.deepEqual(heard, [id]))
        await eventually(async () => assert.equal((await queue.ping())?.dead_letters, 1))
        stopping.abort()
        await ended
      })
    }
  })
})
