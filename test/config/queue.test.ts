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
      'rabbitmq.host (config.yaml) has no effect: RABBITMQ_URL (environment) says where the queue is',
    ])
  })

  it('may be said twice, if it is the same', () => {
    for (const env of [
      { QUEUE_URL: 'amqp://app:pw@mq/shop', RABBITMQ_URL: 'amqp://app:pw@mq:5672/shop' },
      { RABBITMQ_URL: 'amqp://mq', RABBITMQ_HOST: 'mq' },
      { QUEUE_URL: 'kafka://a,b', KAFKA_BROKERS: 'a:9092,b' },
    ] as Record<string, string>[])
      assert.deepEqual(load(env).warnings, [])
  })

  it('is not guessed at when two of one source differ', () => {
    assert.deepEqual(mistakes({ RABBITMQ_URL: 'amqp://app:pw@mq', RABBITMQ_HOST: 'mq' }), [
      'RABBITMQ_URL (environment) and RABBITMQ_HOST (environment) both say where the queue is, and differ: keep one of them',
    ])
    assert.deepEqual(mistakes({ RABBITMQ_URL: 'amqp://mq', KAFKA_BROKERS: 'kafka' }), [
      'RABBITMQ_URL (environment) and KAFKA_BROKERS (environment) both say where the queue is, and differ: keep one of them',
    ])
  })

  it('needs an address, a name and a file that are right; no password is repeated', () => {
    const expected = /must be amqp:\/\/user:password@host:port\/vhost/
    for (const QUEUE_URL of ['kafka://u:secret@mq', 'amqp://u:s#cret@mq', 'mq']) {
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
      'RABBITMQ_IMAGE_QUEUE (environment) has no effect: RabbitMQ is not the queue',
      'RABBITMQ_QUEUE_TYPE (environment) has no effect: RabbitMQ is not the queue',
    ])
    const plain = { RABBITMQ_URL: 'amqp://mq?heartbeat=1', RABBITMQ_CA_FILE: 'ca.pem' }
    assert.deepEqual(load(plain).warnings, [
      'parameters of the URL of RabbitMQ have no effect',
      'RABBITMQ_CA_FILE (environment) has no effect, because RabbitMQ is reached without TLS',
    ])
  })
})

describe('the queue in Kafka', () => {
  const brokersOf = (env: Record<string, string>) => {
    const { queue } = load(env).config
    return queue.kind === 'kafka' ? queue.server.brokers : undefined
  }
  const topology = { topic: 'image-processing', group: 'vitrine', partitions: 12 }

  it('is there once its brokers are named, one or many, with the scheme or without', () => {
    const one = [{ host: 'kafka', port: 9092 }]
    const many = [...one, { host: '10.0.0.7', port: 9093 }, { host: 'fd00::7', port: 1 }]
    for (const [name, value, brokers] of [
      ['KAFKA_BROKERS', 'kafka', one],
      ['KAFKA_BROKERS', 'kafka://kafka:9092', one],
      ['QUEUE_URL', 'kafka://kafka:9092', one],
      ['KAFKA_BROKERS', 'kafka:9092, 10.0.0.7:9093,[fd00::7]:1', many],
      ['KAFKA_BROKERS', 'kafka://kafka,kafka://10.0.0.7:9093,kafka://[fd00::7]:1', many],
      ['QUEUE_URL', 'kafka://kafka,10.0.0.7:9093,[fd00::7]:1', many],
    ] as const)
      assert.deepEqual(brokersOf({ [name]: value }), brokers)
    const { config, warnings } = load({ KAFKA_BROKERS: 'kafka' })
    const server = { brokers: one, tls: false }
    assert.deepEqual(config.queue, { kind: 'kafka', server, topology })
    assert.deepEqual(warnings, [])
    const { config: byFile } = load({}, { 'config.yaml': 'kafka_brokers: [kafka, "kafka:9093"]\n' })
    assert.equal(byFile.queue.kind === 'kafka' && byFile.queue.server.brokers.length, 2)
  })

  it('takes everything that is said of it', () => {
    const env = {
      KAFKA_BROKERS: 'kafka',
      KAFKA_IMAGE_TOPIC: 'pictures.new',
      KAFKA_GROUP: 'shop',
      KAFKA_PARTITIONS: '3',
      KAFKA_SASL_MECHANISM: 'SCRAM-SHA-256',
      KAFKA_SASL_USERNAME: 'app',
      KAFKA_SASL_PASSWORD: ' s:cret@ ',
      KAFKA_TLS: 'true',
      KAFKA_CA_FILE: 'ca.pem',
    }
    const { config, warnings, settings } = load(env, { 'ca.pem': PEM })
    assert.deepEqual(warnings, [])
    assert.deepEqual(config.queue, {
      kind: 'kafka',
      server: {
        brokers: [{ host: 'kafka', port: 9092 }],
        sasl: { mechanism: 'SCRAM-SHA-256', username: 'app', password: ' s:cret@ ' },
        tls: { ca: PEM },
      },
      topology: { topic: 'pictures.new', group: 'shop', partitions: 3 },
    })
    assert.ok(!JSON.stringify(settings).includes('cret'))
  })

  it('needs addresses and names that are right, and both user and password', () => {
    for (const KAFKA_BROKERS of [
      ',',
      'a,,b',
      'a:0',
      'a:66000',
      'a b',
      'u:secret@kafka',
      'kafka://a/path',
      'http://a',
      'a:1:2',
    ]) {
      const [mistake = '', ...others] = mistakes({ KAFKA_BROKERS })
      assert.match(mistake, /must be a list of brokers/)
      assert.doesNotMatch(mistake, /secret/)
      assert.deepEqual(others, [])
    }
    const KAFKA_BROKERS = 'kafka'
    for (const KAFKA_IMAGE_TOPIC of ['a b', '..', 'x'.repeat(201), 'a/b'])
      assert.match(
        mistakes({ KAFKA_BROKERS, KAFKA_IMAGE_TOPIC })[0]!,
        /name of at most 200 letters/,
      )
    assert.deepEqual(mistakes({ KAFKA_BROKERS, KAFKA_SASL_USERNAME: 'app' }), [
      'KAFKA_SASL_USERNAME (environment) needs KAFKA_SASL_PASSWORD beside it',
    ])
    assert.deepEqual(mistakes({ KAFKA_BROKERS, KAFKA_SASL_PASSWORD: 'x' }), [
      'KAFKA_SASL_PASSWORD (environment) needs KAFKA_SASL_USERNAME beside it',
    ])
    assert.deepEqual(mistakes({ KAFKA_BROKERS, KAFKA_TLS: 'yes', KAFKA_CA_FILE: 'none.pem' }), [
      'KAFKA_CA_FILE must name a file of PEM certificates: ENOENT',
    ])
  })

  it('warns of what has no effect', () => {
    assert.deepEqual(load({ KAFKA_GROUP: 'shop', KAFKA_TLS: 'true' }).warnings, [
      'KAFKA_GROUP (environment) has no effect: Kafka is not the queue',
      'KAFKA_TLS (environment) has no effect: Kafka is not the queue',
    ])
    const env = {
      KAFKA_BROKERS: 'kafka',
      KAFKA_CA_FILE: 'ca.pem',
      KAFKA_SASL_MECHANISM: 'plain',
      RABBITMQ_IMAGE_QUEUE: 'x',
    }
    assert.deepEqual(load(env).warnings, [
      'RABBITMQ_IMAGE_QUEUE (environment) has no effect: RabbitMQ is not the queue',
      'KAFKA_SASL_MECHANISM (environment) has no effect: no KAFKA_SASL_USERNAME is set',
      'KAFKA_CA_FILE (environment) has no effect, because Kafka is reached without TLS',
    ])
  })
})
