// Messages into RabbitMQ, in batches: all are on their way before the first is confirmed, and the whole
// batch counts as published once each is.

import type { Channel, Connection, Envelope } from 'rabbitmq-client'
import { AppError } from '../errors.ts'
import { withDeadline } from '../lib/deadline.ts'
import { unavailable } from './rabbitmq-server.ts'
import { declare, openChannel, type Topology } from './rabbitmq-topology.ts'

export interface Message {
  envelope: Envelope
  /** An object is sent as JSON. */
  body: unknown
}

export interface Publisher extends AsyncDisposable {
  /** Resolves when the broker has taken each of them. Throws `unavailable`; some may have been taken then. */
  publish(messages: readonly Message[]): Promise<void>
  /** A channel to publish on, once everything is declared. Throws what the driver throws. */
  prepare(): Promise<Channel>
}

/** Confirms come within milliseconds; a broker that writes to a slow disk takes longer. */
const CONFIRM_MS = 10_000

export function createPublisher(connection: Connection, topology: Topology): Publisher {
  let current: Channel | undefined
  let opening: Promise<Channel> | undefined

  const open = async () => {
    await declare(connection, topology)
    const channel = await openChannel(connection)
    await channel.confirmSelect()
    return channel
  }
  const prepare = async () => {
    if (current?.active) return current
    opening ??= open().finally(() => {
      opening = undefined
    })
    current = await opening
    return current
  }
  const publish = async (messages: readonly Message[]) => {
    // While it is away nobody waits; while it is blocked, nothing would ever be answered.
    if (!connection.ready) throw new AppError('unavailable', 'The queue cannot be reached.')
    const channel = await prepare()
    try {
      await withDeadline(confirmed(channel, messages), CONFIRM_MS, late)
    } catch (error) {
      // Except for a queue that its listener makes again, the next batch begins afresh.
      if (!(error instanceof Returned)) void channel.close()
      throw error
    }
  }
  return {
    prepare,
    publish: async (messages) => {
      try {
        await publish(messages)
      } catch (error) {
        throw unavailable(error, 'The queue did not take the messages.')
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (connection.ready) await opening?.catch(() => {})
      await current?.close()
    },
  }
}

class Returned extends Error {
  override readonly message = 'The queue is not there any more.'
}

/** A message that no queue takes comes back before it is confirmed. */
async function confirmed(channel: Channel, messages: readonly Message[]): Promise<void> {
  let returned = 0
  const count = () => void returned++
  channel.on('basic.return', count)
  try {
    await Promise.all(
      messages.map(({ envelope, body }) =>
        channel.basicPublish({ ...envelope, durable: true, mandatory: true }, body),
      ),
    )
    await new Promise(setImmediate) // in which the driver tells of what came back
    if (returned > 0) throw new Returned()
  } finally {
    channel.off('basic.return', count)
  }
}

function late(): AppError {
  return new AppError('unavailable', `The queue confirmed nothing within ${CONFIRM_MS} ms.`)
}
