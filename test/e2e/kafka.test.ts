// Pictures through Kafka.

import { kafkaUser, startKafkaServer } from '../../scripts/engines/kafka.ts'
import { connectBroker, describeWithKafkaServer } from '../support/kafka.ts'
import { describePicturesThrough, PICTURES, type RunningBroker } from './broker.ts'

describePicturesThrough({
  name: 'Kafka',
  place: 'topic',
  waiting: 'lag',
  lettersStay: true,
  describeWithServer: describeWithKafkaServer,
  start,
})

async function start(): Promise<RunningBroker> {
  await using starting = new AsyncDisposableStack()
  const server = starting.use(await startKafkaServer())
  const tools = starting.use(await connectBroker(server.address))
  const send = (body: string | object) => tools.send(PICTURES, body)
  const started = starting.move()
  return {
    server,
    environment: {
      KAFKA_BROKERS: `kafka://127.0.0.1:${server.saslPort}`,
      KAFKA_SASL_USERNAME: kafkaUser.username,
      KAFKA_SASL_PASSWORD: kafkaUser.password,
      KAFKA_IMAGE_TOPIC: PICTURES,
    },
    secrets: [kafkaUser.password],
    send,
    letter: async () => {
      const [record] = await tools.records(`${PICTURES}.dead`)
      if (!record) return undefined
      const body = JSON.parse(String(record.value))
      return { body, putBack: () => send(body) }
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}
