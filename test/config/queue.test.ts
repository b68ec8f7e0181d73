// Which queue the settings mean.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { load, mistakes, PEM } from './folder.ts'

describe('the queue', () => {
  const server = {
    host: 'mq',
    port: 5672,
    user: 'guest',
    password: 'guest',
    vhost: '/',
    tls: false,
  }
  const topology = { queue: 'image_processing_queue', type: 'quorum' }

  it('is RabbitMQ once one is named, by any of three ways', () => {
    for (const env of [
      { RABBITMQ_URL: 'amqp://mq' },
      { QUEUE_URL: 'amqp://mq' },
      { RABBITMQ_HOST: 'mq' },
    ]) {
      const { config, warnings } = load(env)
      assert.deepEqual(config.queue, { kind: 'rabbitmq', server, topology })
      assert.deepEqual(warnings, [])
    }
    const { config, settings } = load({ RABBITMQ_PORT: '1' })
    const local = { ...server, host: 'localhost', port: 1 }
    assert.deepEqual(config.queue, { kind: 'rabbitmq', server: local, topology })
    assert.equal(settings.find(({ name }) => name === 'RABBITMQ_HOST')?.value, 'localhost')
  })

  it('takes everything that is said of it', () => {
    const env = {
      RABBITMQ_URL: 'amqps://app:s%40cret@mq/shop',
      RABBITMQ_CA_FILE: 'ca.pem',
      RABBITMQ_IMAGE_QUEUE: 'pictures',
      RABBITMQ_QUEUE_TYPE: 'classic',
    }
    const { config, warnings, settings } = load(env, { 'ca.pem': PEM })
    assert.deepEqual(warnings, [])
    assert.deepEqual(config.queue, {
      kind: 'rabbitmq',
      server: {
        host: 'mq',
        port: 5671,
        user: 'app',
        password: 's@cret',
        vhost: 'shop',
        tls: { ca: PEM },
      },
      topology: { queue: 'pictures', type: 'classic' },
    })
    assert.ok(!JSON.stringify(settings).includes('cret'))
  })

  it('is where the strongest source says; others are warned about', () => {
    const { config, warnings } = load(
      { RABBITMQ_URL: 'amqp://mq' },
      { 'config.yaml': 'rabbitmq:\n  host: other\n  port: 1\n' },
    )
    assert.deepEqual(config.queue, { kind: 'rabbitmq', server, topology })
    assert.deepEqual(warnings, [
      'rabbitmq.host (config.yaml) has no effect: RABBITMQ_URL (environment) says where RabbitMQ is',
    ])
  })

  it('is not guessed at when two of one source differ', () => {
    assert.deepEqual(mistakes({ RABBITMQ_URL: 'amqp://mq', RABBITMQ_HOST: 'mq' }), [
      'RABBITMQ_URL (environment) and RABBITMQ_HOST (environment) both say where RabbitMQ is: keep one of them',
    ])
  })

  it('needs an address, a name and a file that are right; no password is repeated', () => {
    const expected = /must be amqp:\/\/user:password@host:port\/vhost/
    for (const QUEUE_URL of ['kafka://mq', 'amqp://u:s#cret@mq', 'mq']) {
      const [mistake = '', ...others] = mistakes({ QUEUE_URL })
      assert.match(mistake, expected)
      assert.doesNotMatch(mistake, /cret/)
      assert.deepEqual(others, [])
    }
    for (const RABBITMQ_IMAGE_QUEUE of ['amq.x', 'x'.repeat(201)])
      assert.match(mistakes({ RABBITMQ_IMAGE_QUEUE })[0]!, /name of at most 200 bytes/)
    const env = { RABBITMQ_URL: 'amqps://mq', RABBITMQ_CA_FILE: 'none.pem' }
    assert.deepEqual(mistakes(env), [
      'RABBITMQ_CA_FILE must name a file of PEM certificates: ENOENT',
    ])
  })

  it('warns of what has no effect', () => {
    const unused = { RABBITMQ_IMAGE_QUEUE: 'x', RABBITMQ_QUEUE_TYPE: 'classic' }
    assert.deepEqual(load(unused).warnings, [
      'RABBITMQ_IMAGE_QUEUE (environment) has no effect: no RABBITMQ_URL is set',
      'RABBITMQ_QUEUE_TYPE (environment) has no effect: no RABBITMQ_URL is set',
    ])
    const plain = { RABBITMQ_URL: 'amqp://mq?heartbeat=1', RABBITMQ_CA_FILE: 'ca.pem' }
    assert.deepEqual(load(plain).warnings, [
      'parameters of the URL of RabbitMQ have no effect',
      'RABBITMQ_CA_FILE (environment) has no effect, because RabbitMQ is reached without TLS',
    ])
    assert.match(load({ KAFKA_BROKERS: 'k:1' }).warnings[0]!, /RabbitMQ or the database itself/)
  })
})
