// A Kafka that stops, is killed, is not there yet or says no.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { type KafkaServer, kafkaUser, startKafkaServer } from '../../scripts/engines/kafka.ts'
import { errorFields } from '../../src/observability/error-fields.ts'
import type { Logger } from '../../src/observability/logger.ts'
import type { KafkaServer as Server } from '../../src/queue/kafka-server.ts'
import { openQueue } from '../../src/queue/open.ts'
import { describeWithKafkaServer, newTopology, serverAt } from '../support/kafka.ts'
import { type Certificate, selfSigned } from '../support/origin.ts'
import { BEGUN, testOutages } from './broker-outage.ts'

describeWithKafkaServer('a Kafka that goes away', () => {
  let broker: KafkaServer
  let certificate: Certificate
  const { open, listen, announced, hasHeard, messages } = testOutages({
    start: async () => {
      certificate = await selfSigned()
      broker = await startKafkaServer({ tls: certificate })
      return broker
    },
    openQueue: (log: Logger, changes: Partial<Server> & { port?: number }) => {
      const { port, ...others } = changes
      const brokers = port === undefined ? {} : { brokers: [{ host: '127.0.0.1', port }] }
      const server = { ...serverAt(broker.address), ...brokers, ...others }
      return openQueue({ kind: 'kafka', server, topology: newTopology(), log })
    },
    prefix: /^Kafka at 127\S* /,
    waiting: 'lag',
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

  test('who speaks to a listener of another kind is told what to check', async () => {
    const http = createHttpServer().listen(0, '127.0.0.1')
    await once(http, 'listening')
    const port = Number(broker.address.split(':')[1])
    const sasl = { mechanism: 'PLAIN', ...kafkaUser } as const
    try {
      for (const changes of [
        { port, tls: {} },
        { port: broker.saslPort },
        { port: broker.tlsPort, sasl },
        { port: (http.address() as AddressInfo).port },
      ]) {
        const { lines } = await open(changes)
        assert.equal(lines.length, 1)
        assert.match(JSON.stringify(lines[0]?.err), /check .*KAFKA_TLS and KAFKA_SASL_USERNAME/)
      }
    } finally {
      http.close()
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
      assert.deepEqual(messages(lines), [BEGUN])
      await assert.rejects(queue.announce([randomUUID()]), { code: 'unavailable' })
      await stop()
      assert.ok(performance.now() - started < 12_000)
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })
})
