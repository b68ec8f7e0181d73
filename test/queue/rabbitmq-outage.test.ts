// A RabbitMQ that stops, is killed, is not there yet or says no.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { before, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { type RabbitmqServer, startRabbitmqServer } from '../../scripts/engines/rabbitmq.ts'
import { errorFields } from '../../src/observability/error-fields.ts'
import type { Logger } from '../../src/observability/logger.ts'
import { openQueue } from '../../src/queue/open.ts'
import type { Answer } from '../../src/queue/queue.ts'
import { silent } from '../jobs/support.ts'
import { eventually } from '../support/eventually.ts'
import { type Certificate, selfSigned } from '../support/origin.ts'
import { connectBroker, describeWithRabbitmqServer, serverAt } from '../support/rabbitmq.ts'
import { PATIENCE_MS, testOutages } from './broker-outage.ts'

interface Changes {
  port?: number
  password?: string
  vhost?: string
  tls?: object
}

describeWithRabbitmqServer('a RabbitMQ that goes away', () => {
  let broker: RabbitmqServer
  const { use, open, listen, announced, hasHeard, answers } = testOutages({
    start: async () => {
      broker = await startRabbitmqServer()
      return broker
    },
    openQueue: (log: Logger, changes: Changes) => {
      const server = { ...serverAt(broker.url), ...changes }
      const topology = { queue: 'outage', type: 'quorum' } as const
      return openQueue({ kind: 'rabbitmq', server, topology, log })
    },
    prefix: /^RabbitMQ at .* "guest" /,
    waiting: 'bells',
  })
  before(async () => {
    // RabbitMQ 3.10 loses a quorum queue that is half a second old when it is killed.
    await open()
    await broker.stop()
    await broker.start()
  })

  /** The port of a TLS server that hands on to the broker. */
  const startTls = async ({ key, cert }: Certificate) => {
    const server = createTlsServer({ key, cert }, (client) => {
      const upstream = connect(broker.port, '127.0.0.1')
      for (const socket of [client, upstream]) socket.on('error', () => socket.destroy())
      client.pipe(upstream).pipe(client)
    })
    server.on('tlsClientError', () => {})
    await once(server.listen(0, '127.0.0.1'), 'listening')
    use({ [Symbol.asyncDispose]: async () => void server.close() })
    return (server.address() as AddressInfo).port
  }

  /** The port of a server that hands on to the broker, until it falls silent. */
  const startProxy = async () => {
    const sockets: Socket[] = []
    const server = createServer((client) => {
      const upstream = connect(broker.port, '127.0.0.1')
      sockets.push(client, upstream)
      for (const socket of [client, upstream]) socket.on('error', () => socket.destroy())
      client.pipe(upstream).pipe(client)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    use({
      [Symbol.asyncDispose]: async () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    })
    const fallSilent = () => {
      for (const socket of sockets) socket.unpipe().pause()
    }
    return { port: (server.address() as AddressInfo).port, fallSilent }
  }

  test('beside one that falls silent nobody waits for its heartbeat: to announce, to bury, to close', async () => {
    const { port, fallSilent } = await startProxy()
    const [{ queue }, { queue: closing }] = await Promise.all([open({ port }), open({ port })])
    await Promise.all([announced(queue, 1), announced(closing, 1)])
    fallSilent()
    const started = performance.now()
    const took = async (ended: PromiseLike<unknown>) => {
      await ended
      return performance.now() - started
    }
    const refused = (sent: Promise<unknown>) => took(assert.rejects(sent, { code: 'unavailable' }))
    // The first letter has no channel yet.
    const letter = { jobId: randomUUID(), death: randomUUID(), details: {} }
    const [closed, ...answered] = await Promise.all([
      took(closing[Symbol.asyncDispose]()),
      refused(queue.announce([randomUUID()])),
      refused(queue.bury!([letter])),
    ])
    assert.ok(closed < 10_000, `closing took ${closed} ms`)
    for (const ms of answered) assert.ok(ms < 15_000, `it took ${ms} ms`)
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
    const tools = use(await connectBroker(broker.url))
    const { heard } = listen(queue)
    for (let n = 0; n < 8; n++) await tools.send('outage', `garbage ${n}`)
    await hasHeard(heard, await announced(queue, 10))
    const isLeft = ({ msg }: { msg: string }) =>
      msg.endsWith('is left to the broker, which may drop it')
    await eventually(() => assert.ok(lines.filter(isLeft).length >= 4))
    await broker.ctl('clear_policy', 'narrow')
  })

  test('a shovel puts dead messages back, as operators do', async () => {
    const topology = { queue: 'shovelled', type: 'quorum' } as const
    const options = { server: serverAt(broker.url), topology, log: silent }
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
})
