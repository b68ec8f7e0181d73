// A RabbitMQ that stops, is killed, is not there yet or says no.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import pino from 'pino'
import { type RabbitmqServer, startRabbitmqServer } from '../../scripts/engines/rabbitmq.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import { errorFields } from '../../src/observability/error-fields.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { eventually } from '../support/eventually.ts'
import { type Certificate, selfSigned } from '../support/origin.ts'
import { connectBroker, describeWithRabbitmqServer, serverAt } from '../support/rabbitmq.ts'

const PATIENCE_MS = 60_000

describeWithRabbitmqServer('a RabbitMQ that goes away', () => {
  let broker: RabbitmqServer
  const stack = new AsyncDisposableStack()
  const resources: AsyncDisposable[] = []
  before(async () => {
    broker = stack.use(await startRabbitmqServer())
    // RabbitMQ 3.10 loses a quorum queue that is half a second old when it is killed.
    await open()
    await broker.stop()
    await broker.start()
  })
  after(() => stack.disposeAsync())
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]()
  })

  const open = async (
    changes: { port?: number; password?: string; vhost?: string; tls?: object } = {},
  ) => {
    const lines: { level: number; msg: string }[] = []
    const write = (line: string) => void lines.push(JSON.parse(line))
    const log = pino({ level: 'info', serializers: { err: errorFields } }, { write })
    const queue = await openQueue({
      kind: 'rabbitmq',
      server: { ...serverAt(broker.url), ...changes },
      topology: { queue: 'outage', type: 'quorum' },
      log,
    })
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
  /** The port of a TLS server that hands on to the broker. */
  const startTls = async ({ key, cert }: Certificate) => {
    const server = createTlsServer({ key, cert }, (client) => {
      const upstream = connect(broker.port, '127.0.0.1')
      for (const socket of [client, upstream]) socket.on('error', () => socket.destroy())
      client.pipe(upstream).pipe(client)
    })
    server.on('tlsClientError', () => {})
    await once(server.listen(0, '127.0.0.1'), 'listening')
    resources.unshift({ [Symbol.asyncDispose]: async () => void server.close() })
    return (server.address() as AddressInfo).port
  }
  const messages = (lines: readonly { msg: string }[]) =>
    lines.map(({ msg }) => msg.replace(/^RabbitMQ at .* "guest" /, ''))

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
      await eventually(() =>
        assert.deepEqual(messages(lines), ['does not work; trying again', 'works again']),
      )
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
    assert.ok(performance.now() - started < 3_000)
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
    await eventually(() =>
      assert.deepEqual(messages(lines), ['does not work; trying again', 'works again']),
    )
  })

  test('one that takes no messages says so, and is taken for away meanwhile', async () => {
    const { queue } = await open()
    await announced(queue, 1)
    await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1MB')
    await eventually(async () => {
      await queue.announce([randomUUID()]).catch(() => {})
      await assert.rejects(queue.ping(), { code: 'unavailable' })
    }, PATIENCE_MS)
    const { heard } = listen(queue)
    await eventually(() => assert.ok(heard.size > 0), PATIENCE_MS)
    await broker.ctl('set_vm_memory_high_watermark', '0.4')
    await answers(queue)
    await announced(queue, 1)
  })

  test('what a full queue of the dead does not take leaves the bells alone', async () => {
    const { queue, lines } = await open()
    const limit = JSON.stringify({ 'max-length': 1, overflow: 'reject-publish' })
    await broker.ctl('set_policy', 'narrow', '^outage[.]dead$', limit)
    const letter = () => ({ jobId: randomUUID(), death: randomUUID(), details: {} })
    await eventually(() => assert.rejects(queue.bury!([letter()]), { code: 'unavailable' }))
    const tools = await connectBroker(broker.url)
    resources.push(tools)
    const { heard } = listen(queue)
    for (let n = 0; n < 8; n++) await tools.send('outage', `garbage ${n}`)
    await hasHeard(heard, await announced(queue, 10))
    const left = lines.filter(({ msg }) => msg.endsWith('is left to the broker, which may drop it'))
    assert.ok(left.length >= 4)
    await broker.ctl('clear_policy', 'narrow')
  })

  test('a shovel puts dead messages back, as operators do', async () => {
    const topology = { queue: 'shovelled', type: 'quorum' } as const
    const options = { server: serverAt(broker.url), topology, log: pino({ level: 'silent' }) }
    await using queue = await openQueue({ kind: 'rabbitmq', ...options })
    const letter = { jobId: randomUUID(), death: randomUUID(), details: { code: 'dns_failed' } }
    await queue.bury?.([letter])
    const heard: (string | undefined)[][] = []
    const stopping = new AbortController()
    const handler = async (...bell: [string, string?]): Promise<Answer> => {
      heard.push(bell)
      return 'heard'
    }
    const ended = queue.listen(handler, { concurrency: 1, signal: stopping.signal })
    const shovel = {
      'src-protocol': 'amqp091',
      'src-uri': 'amqp://',
      'src-queue': 'shovelled.dead',
      'src-delete-after': 'queue-length',
      'dest-protocol': 'amqp091',
      'dest-uri': 'amqp://',
      'dest-queue': 'shovelled',
    }
    await broker.ctl('set_parameter', 'shovel', 'again', JSON.stringify(shovel))
    await eventually(() => assert.deepEqual(heard, [[letter.jobId, letter.death]]), PATIENCE_MS)
    stopping.abort()
    await ended
  })

  test('a start that it refuses says what to correct, and no password', async () => {
    const secret = 'no-such-password'
    const refused = async (changes: Parameters<typeof open>[0], pattern: RegExp) =>
      assert.rejects(open(changes), (error: Error) => {
        assert.match(error.message, pattern)
        assert.ok(!JSON.stringify(errorFields(error)).includes(secret))
        return true
      })
    await refused(
      { password: secret },
      /RabbitMQ at 127\.0\.0\.1:.* ACCESS_REFUSED .*check user and password/,
    )
    await refused({ vhost: 'nowhere' }, /vhost "nowhere".* create the vhost/)
    await refused({ tls: {} }, /TLS|amqps?/)
  })

  test('with TLS the certificate is checked, against the authorities that are named', async () => {
    const trusted = await selfSigned()
    const [port, wrongName] = await Promise.all([
      startTls(trusted),
      startTls(await selfSigned(['DNS:elsewhere'])),
    ])
    const { queue } = await open({ port, tls: { ca: trusted.cert } })
    await announced(queue, 10)
    for (const at of [
      { port, tls: {} },
      { port: wrongName, tls: { ca: trusted.cert } },
    ])
      await assert.rejects(open(at), /refused: .*check RABBITMQ_CA_FILE/)
  })

  test('a start where nobody listens goes on, and says so', async () => {
    const { queue, lines } = await open({ port: await findFreePort('127.0.0.1') })
    assert.deepEqual(messages(lines), ['does not work; trying again'])
    await assert.rejects(queue.announce([randomUUID()]), { code: 'unavailable' })
  })
})
