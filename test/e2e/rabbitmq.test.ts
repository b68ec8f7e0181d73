// Pictures through RabbitMQ.

import { startRabbitmqServer } from '../../scripts/engines/rabbitmq.ts'
import { connectBroker, describeWithRabbitmqServer } from '../support/rabbitmq.ts'
import { describePicturesThrough, PICTURES, type RunningBroker } from './broker.ts'

const PASSWORD = 'p@ss:word/%'

describePicturesThrough({
  name: 'RabbitMQ',
  place: 'queue',
  waiting: 'bells',
  lettersStay: false,
  describeWithServer: describeWithRabbitmqServer,
  start,
})

async function start(): Promise<RunningBroker> {
  await using starting = new AsyncDisposableStack()
  const server = starting.use(await startRabbitmqServer())
  await server.ctl('add_user', 'shop', PASSWORD)
  await server.ctl('set_permissions', 'shop', '.*', '.*', '.*')
  const tools = starting.use(await connectBroker(server.url))
  const encoded = encodeURIComponent(PASSWORD)
  const started = starting.move()
  return {
    server,
    environment: {
      RABBITMQ_URL: `amqp://shop:${encoded}@127.0.0.1:${server.port}/`,
      RABBITMQ_IMAGE_QUEUE: PICTURES,
    },
    secrets: [PASSWORD, encoded],
    send: (body) => tools.send(PICTURES, body),
    letter: async () => {
      const message = await tools.take(`${PICTURES}.dead`)
      if (!message) return undefined
      const { body, headers } = message
      return { body, putBack: () => tools.send(PICTURES, body, { headers }) }
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}
