import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { amqpUrl } from './amqp-url.ts'

const plain = {
  isTls: false,
  host: 'mq',
  port: 5672,
  user: 'guest',
  password: 'guest',
  vhost: '/',
  hasParameters: false,
}

describe('the URL of RabbitMQ', () => {
  const accepted: [string, Partial<typeof plain>][] = [
    ['amqp://mq', {}],
    ['amqp://mq/', {}],
    ['amqp://guest:guest@mq:5672/', {}],
    ['AMQP://mq/%2f', {}],
    ['amqps://mq', { isTls: true, port: 5671 }],
    ['amqp://[::1]:1/', { host: '::1', port: 1 }],
    ['amqp://u:p%40%2F%23@mq/shop%2Fone', { user: 'u', password: 'p@/#', vhost: 'shop/one' }],
    ['amqp://u:p@ss@mq', { user: 'u', password: 'p@ss' }],
    ['amqp://u:@mq', { user: 'u', password: '' }],
    ['amqp://mq/shop?heartbeat=5', { vhost: 'shop', hasParameters: true }],
  ]
  for (const [text, parts] of accepted) {
    it(`${text} is understood`, () => {
      assert.deepEqual(amqpUrl.parse(text), { ...plain, ...parts })
    })
  }

  const refused = [
    'mq',
    'http://mq',
    'kafka://mq',
    'amqp://',
    'amqp:mq',
    'amqp://mq:0',
    'amqp://mq:99999',
    'amqp://one,two',
    'amqp://u:p/w@mq',
    'amqp://u:p#w@mq',
    'amqp://u:p?w@mq',
    'amqp://u:%zz@mq',
    'amqp://u:a%0ab@mq',
    'amqp://mq/a/b',
  ]
  for (const text of refused) {
    it(`${text} is refused`, () => assert.equal(amqpUrl.parse(text), undefined))
  }
})
