// A Kafka that stops, is killed, is not there yet or says no.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import pino from 'pino'
import { type KafkaServer, kafkaUser, startKafkaServer } from '../../scripts/engines/kafka.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import { errorFields } from '../../src/observability/error-fields.ts'
import type { KafkaServer as Server } from '../../src/queue/kafka-server.ts'
import type { Topology } from '../../src/queue/kafka-topology.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { eventually } from '../support/eventually.ts'
import { describeWithKafkaServer, newTopology, serverAt } from '../support/kafka.ts'
import { type Certificate, selfSigned } from '../support/origin.ts'

const PATIENCE_MS = 60_000

describeWithKafkaServer('a Kafka that goes away', () => {
  let broker: KafkaServer
  let certificate: Certificate
  const stack = new AsyncDisposableStack()
  const resources: AsyncDisposable[] = []
  let topology: Topology
  beforeEach(() => {
    topology = newTopology()
  })
  before(async () => {
    certificate = await selfSigned()
    broker = stack.use(await startKafkaServer({ tls: certificate }))
  })
  after(() => stack.disposeAsync())
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]()
  })

  const open = async (changes: Partial<Server> & { port?: number } = {}) => {
    const { port, ...others } = changes
    const lines: { level: number; msg: string; err?: object }[] = []
    const write = (line: string) => void lines.push(JSON.parse(line))
    const log = pino({ level: 'info', serializers: { err: errorFields } }, { write })
    const brokers = port === undefined ? {} : { brokers: [{ host: '127.0.0.1', port }] }
    const server = { ...serverAt(broker.address), ...brokers, ...others }
    const queue = await openQueue({ kind: 'kafka', server, topology, log })
    resources.push(queue)
    return { queue, lines }
  }
  const listen = (queue: Queue, onCall = async () => {}) => {
    const stopping = new AbortController()
    const heard = new Set<string>()
    const handler = async (id: string): Promise<Answer> => {
      await onCall()
      heard.add(id)
      return 'heard'
    }
    const ended = queue.listen(handler, { concurrency: 4, signal: stopping.signal })
    const stop = async () => {
      stopping.abort()
      await ended
    }
    resources.push({ [Symbol.asyncDispose]: stop })
    return { heard, stop }
  }
  const announced = async (queue: Queue, count: number) => {
    const ids = Array.from({ length: count }, () => randomUUID())
    await queue.announce(ids)
    return ids
  }
  const hasHeard = (heard: ReadonlySet<string>, ids: readonly string[]) =>
    eventually(() => assert.ok(ids.every((id) => heard.has(id))), PATIENCE_MS)
  const answers = (queue: Queue) => eventually(() => queue.ping(), PATIENCE_MS)
  const messages = (lines: readonly { msg: string }[]) =>
    lines.map(({ msg }) => msg.replace(/^Kafka at 127\S* /, ''))
  const saidOnce = ['does not work; trying again', 'works again']

  for (const how of ['stop', 'kill'] as const) {
    test(`what was announced before a ${how} is heard after it; it is said once, and once that it is over`, async () => {
      const { queue, lines } = await open()
      const { heard, stop } = listen(queue)
      await hasHeard(heard, await announced(queue, 10))
      await stop()
      const ids = await announced(queue, 200)
      const again = listen(queue, () => new Promise((resolve) => setTimeout(resolve, 20)))
      await eventually(() => assert.ok(again.heard.size > 4))
      await broker[how]()
      await eventually(() => assert.rejects(queue.ping(), { code: 'unavailable' }))
      const started = performance.now()
      await assert.rejects(announced(queue, 1), { code: 'unavailable' })
      assert.ok(performance.now() - started < 1_000, 'nobody waits for what is away')
      await broker.start()
      await hasHeard(again.heard, ids)
      await answers(queue)
      await hasHeard(again.heard, await announced(queue, 10))
      await eventually(() => assert.deepEqual(messages(lines), saidOnce))
      await eventually(async () => assert.equal((await queue.ping())?.lag, 0))
    })
  }

  test('announcements under way when it is killed are refused or kept', async () => {
    const { queue } = await open()
    const { heard } = listen(queue)
    const taken: string[] = []
    let isOver = false
    const announcing = (async () => {
      while (!isOver)
        try {
          taken.push(...(await announced(queue, 100)))
        } catch (error) {
          assert.equal((error as { code: string }).code, 'unavailable')
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
    })()
    try {
      await eventually(() => assert.ok(taken.length > 1_000))
      await broker.kill()
      await broker.start()
      const before = taken.length
      await eventually(() => assert.ok(taken.length > before), PATIENCE_MS)
    } finally {
      isOver = true
      await announcing
    }
    await hasHeard(heard, taken)
  })

  test('who stops while it is away ends at once', async () => {
    const { queue } = await open()
    const { heard, stop } = listen(queue)
    await hasHeard(heard, await announced(queue, 1))
    await broker.kill()
    await eventually(() => assert.rejects(queue.ping()))
    const started = performance.now()
    await stop()
    await queue[Symbol.asyncDispose]()
    const took = performance.now() - started
    assert.ok(took < 3_000, `it took ${took} ms`)
    await broker.start()
  })

  test('who starts while it is away listens once it is there', async () => {
    await broker.stop()
    const { queue, lines } = await open()
    const { heard } = listen(queue)
    await assert.rejects(queue.ping(), { code: 'unavailable' })
    await broker.start()
    await answers(queue)
    await hasHeard(heard, await announced(queue, 10))
    await eventually(() => assert.deepEqual(messages(lines), saidOnce), PATIENCE_MS)
  })

  test('user and password are shown as it asks for them', async () => {
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
      const { queue } = await open({ port: broker.saslPort, sasl: { mechanism, ...kafkaUser } })
      const { heard, stop } = listen(queue)
      await hasHeard(heard, await announced(queue, 10))
      await stop()
    }
  })

  test('with TLS the certificate is checked, against the authorities that are named', async () => {
    const port = broker.tlsPort
    const { queue } = await open({ port, tls: { ca: certificate.cert } })
    const { heard } = listen(queue)
    await hasHeard(heard, await announced(queue, 10))
    const { cert: ca } = await selfSigned()
    for (const tls of [{}, { ca }])
      await assert.rejects(open({ port, tls }), /refused: .*check KAFKA_CA_FILE/)
    await assert.rejects(open({ port }), /set KAFKA_TLS/)
  })

  test('a start that it refuses says what to correct, and no password', async () => {
    const password = 'no-such-password'
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-512'] as const) {
      const sasl = { mechanism, username: kafkaUser.username, password }
      await assert.rejects(open({ port: broker.saslPort, sasl }), (error: Error) => {
        assert.match(
          error.message,
          /Kafka at 127\.0\.0\.1:\d+, user "shop" refused: .*check KAFKA_SASL/,
        )
        assert.ok(!JSON.stringify(errorFields(error)).includes(password))
        return true
      })
    }
  })

  test('a start where somebody listens and says nothing goes on soon', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const sockets = new Set<Socket>()
    silent.on('connection', (socket) => sockets.add(socket))
    try {
      const started = performance.now()
      const { queue, lines } = await open({ port: (silent.address() as AddressInfo).port })
      const { stop } = listen(queue)
      assert.deepEqual(messages(lines), [saidOnce[0]])
      await assert.rejects(queue.announce([randomUUID()]), { code: 'unavailable' })
      await stop()
      assert.ok(performance.now() - started < 8_000)
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })

  test('a start where nobody listens goes on, and says so in a few words', async () => {
    const { queue, lines } = await open({ port: await findFreePort('127.0.0.1') })
    assert.deepEqual(messages(lines), [saidOnce[0]])
    assert.ok(JSON.stringify(lines[0]?.err).length < 2_000)
    await assert.rejects(queue.announce([randomUUID()]), { code: 'unavailable' })
  })
})
