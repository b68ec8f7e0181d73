// Kafka as the doorbell: the contract, and what only a broker can show.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import type { Topology } from '../../src/queue/kafka-topology.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { silent } from '../jobs/support.ts'
import { eventually } from '../support/eventually.ts'
import {
  type Broker,
  connectBroker,
  describeOnKafka,
  kafkaBrokers,
  newTopology,
  type SendOptions,
  serverAt,
} from '../support/kafka.ts'
import { newIds, testBroker } from './broker.ts'
import { describeQueue, type TestQueue } from './queue.ts'

/** Who was thrown out notices within its session (10 s), and joins after a pause. */
const COMES_BACK_MS = 40_000

function open(topology: Topology): Promise<Queue> {
  const server = serverAt(kafkaBrokers)
  return openQueue({ kind: 'kafka', server, topology, againMs: 20, lookMs: 500, log: silent })
}

async function create(): Promise<TestQueue> {
  const resources = new AsyncDisposableStack()
  const topology = newTopology()
  return {
    queue: resources.use(await open(topology)),
    another: resources.use(await open(topology)),
    jobs: async (count) => newIds(count),
    answer: async () => 'heard',
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describeOnKafka('Kafka', () => {
  describeQueue('Kafka', create)

  describe('a topic in Kafka', () => {
    let broker: Broker
    let queue: Queue
    let topology: Topology
    let topic: string
    let dead: string
    const resources: AsyncDisposable[] = []
    beforeEach(async () => {
      broker ??= await connectBroker()
      topology = newTopology(2)
      topic = topology.topic
      dead = `${topic}.dead`
      queue = await open(topology)
      resources.push(queue)
    })
    after(() => broker[Symbol.asyncDispose]())
    const { listen, stop, abort } = testBroker<SendOptions>({
      place: 'topic',
      waiting: 'lag',
      lettersStay: true,
      queue: () => queue,
      another: () => open(topology),
      send: (body, options) => broker.send(topic, body, options),
      letter: async () => {
        const [record, ...others] = await broker.records(dead)
        assert.ok(record && others.length === 0)
        return { body: record.value, headers: record.headers }
      },
      garbage: [['no value at all', undefined, 'not_json', { key: 'k' }]],
    })
    afterEach(async () => {
      for (const resource of resources.splice(0)) await resource[Symbol.asyncDispose]()
    })
    const figuresAre = (lag: number, listeners: number, dead_letters: number) =>
      eventually(async () => assert.deepEqual(await queue.ping(), { lag, listeners, dead_letters }))

    test('what goes to the dead topic keeps its key and its headers', async () => {
      listen(() => 'unknown')
      const [id] = newIds(1)
      await queue.announce([id!])
      await figuresAre(0, 1, 1)
      const headers = { trace: '7', 'vitrine-reason': 'none' }
      await broker.send(topic, 'hello', { key: 'k', headers })
      await figuresAre(0, 1, 2)
      const records = await broker.records(dead)
      assert.deepEqual(records.map(({ key }) => key).sort(), [id, 'k'].sort())
      const kept = records.find(({ key }) => key === 'k')?.headers
      assert.deepEqual(
        { ...kept, 'vitrine-detail': undefined },
        { trace: '7', 'vitrine-reason': 'not_json', 'vitrine-detail': undefined },
      )
    })

    test('one that the dead topic is too narrow for leaves its place there, and holds up nobody', async () => {
      const wide = newTopology(1)
      const configs = [{ name: 'max.message.bytes', value: '4000000' }]
      await broker.admin.createTopics({ topics: [wide.topic], partitions: 1, configs })
      queue = await open(wide)
      resources.push(queue)
      const heard = listen(() => 'heard')
      await broker.send(wide.topic, 'x'.repeat(2_000_000), { key: 'k' })
      const ids = newIds(8)
      await queue.announce(ids)
      await figuresAre(0, 1, 1)
      assert.deepEqual(heard.map(([id]) => id).sort(), ids.sort())
      const [record] = await broker.records(`${wide.topic}.dead`)
      assert.equal(record?.headers['vitrine-reason'], 'not_json')
      assert.match(
        record?.headers['vitrine-detail'] ?? '',
        /too large .* at offset 0 of partition 0/,
      )
    })

    test('what the dead topic refuses stays where it is, which a ping tells of, and costs the bells nothing', async () => {
      const compacted = [{ name: 'cleanup.policy', value: 'compact' }]
      const topology = newTopology(1)
      const deadName = `${topology.topic}.dead`
      await broker.admin.createTopics({ topics: [deadName], partitions: 1, configs: compacted })
      queue = await open(topology)
      resources.push(queue)
      // Such a topic takes nothing without a key.
      for (let n = 0; n < 20; n++) await broker.send(topology.topic, `x${n}`)
      const heard = listen((id) => (id === unknown ? 'unknown' : 'heard'), { concurrency: 2 })
      const [unknown, ...ids] = newIds(21)
      await broker.send(topology.topic, { version: 1, job: unknown })
      await queue.announce(ids)
      await eventually(() =>
        assert.ok(ids.every((id) => heard.some(([heardId]) => heardId === id))),
      )
      const isFull = { code: 'unavailable', message: /dead takes no messages/ }
      // What was sent to the dead is answered after the bells, at times.
      await eventually(() => assert.rejects(queue.ping(), isFull))
      const letter = { jobId: randomUUID(), death: randomUUID(), details: {} }
      await queue.bury!([letter])
      await figuresAre(0, 1, 1)
    })

    test('a record is read however its sender has compressed it', async () => {
      const heard = listen(() => 'heard')
      const ids = newIds(4)
      for (const [n, compression] of (['gzip', 'snappy', 'lz4', 'zstd'] as const).entries())
        await broker.send(topic, { version: 1, job: ids[n] }, { compression })
      await eventually(() => assert.deepEqual(heard.map(([id]) => id).sort(), [...ids].sort()))
    })

    test('what nobody could look up comes again, the bells as well', async () => {
      const [job, bell, death] = [randomUUID(), randomUUID(), randomUUID()]
      const answers = new Map<string, number>()
      listen((id) => {
        const count = (answers.get(id) ?? 0) + 1
        answers.set(id, count)
        return count < 3 ? 'unheard' : 'heard'
      })
      await broker.send(topic, { version: 1, job, death })
      await queue.announce([bell])
      await figuresAre(0, 1, 0)
      assert.ok(answers.get(job)! >= 3 && answers.get(bell)! >= 3)
    })

    test('who cannot look leaves its partitions to others, and has them again when it can', async () => {
      let isAway = true
      const stopping = new AbortController()
      const missed = new Set<string>()
      const heardAgain = new Set<string>()
      await using sick = await open(topology)
      const handler = async (id: string): Promise<Answer> => {
        const set = isAway ? missed : heardAgain
        set.add(id)
        return isAway ? 'unheard' : 'heard'
      }
      const ended = sick.listen(handler, { concurrency: 4, signal: stopping.signal })
      try {
        const ids = newIds(20)
        await queue.announce(ids)
        await eventually(() => assert.ok(missed.size > 0))
        const heard = listen(() => 'heard')
        const hasHeard = () => ids.every((id) => heard.some(([heardId]) => heardId === id))
        await eventually(() => assert.ok(hasHeard()), 30_000)
        isAway = false
        await eventually(async () => {
          await queue.announce(newIds(4))
          assert.ok(heardAgain.size > 0)
        }, 30_000)
      } finally {
        stopping.abort()
        await ended
      }
    })

    test('one message that cannot be looked up as long as that takes holds up no other', async () => {
      const letter = { version: 1, job: randomUUID(), death: randomUUID() }
      let isAway = true
      const heard = listen((id) => (id === letter.job && isAway ? 'unheard' : 'heard'))
      await broker.send(topic, letter, { partition: 0 })
      const ids = newIds(100)
      await queue.announce(ids)
      await eventually(() =>
        assert.ok(ids.every((id) => heard.some(([heardId]) => heardId === id))),
      )
      const tries = () => heard.filter(([id]) => id === letter.job).length
      await eventually(() => assert.ok(tries() > 4))
      isAway = false
      await figuresAre(0, 1, 0)
    })

    test('what is answered is done before the work is; what is given back is heard by the next', async () => {
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      const heard = listen(
        async () => {
          if (heard.length <= 2) return 'heard'
          await gate
          return 'unheard'
        },
        { concurrency: 2 },
      )
      const ids = newIds(10)
      await queue.announce(ids)
      await eventually(() => assert.equal(heard.length, 4))
      abort()
      release()
      await stop()
      const { lag } = (await queue.ping()) ?? {}
      assert.ok(lag === 8 || lag === 9, `${lag} are left: one may wait for one before it`)
      const first = new Set(heard.slice(0, 2).map(([id]) => id))
      const again = listen(() => 'heard')
      await figuresAre(0, 1, 0)
      const missed = ids.filter(
        (id) => !first.has(id) && !again.some(([heardId]) => heardId === id),
      )
      assert.deepEqual(missed, [])
    })

    test('one that never ends holds up nobody: others of its partition are heard and done', async () => {
      const { promise: gate, resolve: release } = Promise.withResolvers<void>()
      const stuck = randomUUID()
      const heard = listen(async (id): Promise<Answer> => {
        if (id === stuck) await gate
        return 'heard'
      })
      await broker.send(topic, { version: 1, job: stuck }, { partition: 1 })
      const ids = newIds(50)
      for (const job of ids) await broker.send(topic, { version: 1, job }, { partition: 1 })
      await eventually(() => assert.equal(heard.length, 51))
      await figuresAre(51, 1, 0)
      release()
      await figuresAre(0, 1, 0)
    })

    test('a topic that is deleted comes back, with whoever listened', async () => {
      const heard = listen(() => 'heard')
      await queue.announce(newIds(20))
      await eventually(() => assert.equal(heard.length, 20))
      await broker.admin.deleteTopics({ topics: [topic, dead] })
      const ids: string[] = []
      await eventually(async () => {
        ids.push(...newIds(1))
        await queue.announce(ids.slice(-1))
        await eventually(() => assert.ok(heard.some(([heardId]) => ids.includes(heardId))), 500)
      }, COMES_BACK_MS)
      assert.ok((await broker.admin.listTopics()).includes(dead))
    })

    test('a group that is deleted comes back, with whoever listened', async () => {
      const heard = listen(() => 'heard')
      await queue.announce(newIds(20))
      await eventually(() => assert.equal(heard.length, 20))
      const { group: groupId } = topology
      const isMember = async () => assert.equal((await queue.ping())?.listeners, 1)
      // Who is thrown out comes again, in a later generation.
      await broker.admin.removeMembersFromConsumerGroup({ groupId })
      await eventually(isMember, COMES_BACK_MS)
      await eventually(async () => {
        await broker.admin.removeMembersFromConsumerGroup({ groupId })
        await broker.admin.deleteGroups({ groups: [groupId] })
      }, COMES_BACK_MS)
      await eventually(isMember, COMES_BACK_MS)
      const ids = newIds(20)
      await queue.announce(ids)
      await eventually(
        () => assert.ok(ids.every((id) => heard.some(([heardId]) => heardId === id))),
        COMES_BACK_MS,
      )
      await figuresAre(0, 1, 0)
    })

    test('partitions that are added are heard by whoever listens', async () => {
      const heard = listen(() => 'heard')
      await queue.announce(newIds(20))
      await eventually(() => assert.equal(heard.length, 20))
      await broker.admin.createPartitions({ topics: [{ name: topic, count: 6 }] })
      await figuresAre(0, 1, 0)
      const ids = newIds(6)
      for (const [partition, job] of ids.entries())
        await broker.send(topic, { version: 1, job }, { partition })
      await eventually(() =>
        assert.ok(ids.every((id) => heard.some(([heardId]) => heardId === id))),
      )
      await figuresAre(0, 1, 0)
    })
  })

  describe('topics', () => {
    test('are made with so many partitions, and those that are there used as they are', async () => {
      await using broker = await connectBroker()
      const topology = newTopology(5)
      await broker.admin.createTopics({ topics: [topology.topic], partitions: 1 })
      await using _queue = await open(topology)
      const dead = `${topology.topic}.dead`
      const { topics } = await broker.admin.metadata({ topics: [topology.topic, dead] })
      assert.equal(topics.get(topology.topic)?.partitionsCount, 1)
      assert.equal(topics.get(dead)?.partitionsCount, 5)
    })

    test('that cannot be made are asked for by name', async () => {
      const topology = newTopology(100_000)
      await assert.rejects(open(topology), (error: Error) => {
        for (const part of [topology.topic, `${topology.topic}.dead`, 'KAFKA_IMAGE_TOPIC'])
          assert.ok(error.message.includes(part), error.message)
        return true
      })
    })
  })
})
