// Messages into RabbitMQ, in batches: all are on their way before the first is confirmed, and the whole
// batch counts as published once each is.

import type { Channel, Connection, Envelope } from 'rabbitmq-client'
import { AppError } from '../errors.ts'
import { settlesWithin, withDeadline } from '../lib/deadline.ts'
import { CLOSING_MS, unavailable } from './rabbitmq-server.ts'
import { openChannel } from './rabbitmq-topology.ts'

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
  /** Whether the last messages were not taken: lately, for others may have got them through since. */
  isFailing(): boolean
}

export interface PublisherOptions {
  connection: Connection
  /** Makes what the messages go to, before the first of them. */
  declare(): Promise<void>
  /** Whether a queue that is gone is made again for the next messages; else that is left to its listener. */
  remakes: boolean
}

/** Confirms, and the channel for them, come within milliseconds; a broker that writes to a slow disk takes longer. */
const CONFIRM_MS = 10_000

/** Longer than who publishes waits to try again, the time of a confirm included. */
const LATELY_MS = 30_000

/** Declares and opens its channel with the first messages, and again after a failure. */
export function createPublisher({ connection, declare, remakes }: PublisherOptions): Publisher {
  let current: Channel | undefined
  let opening: Promise<Channel> | undefined
  let failedAt = Number.NEGATIVE_INFINITY
  const works = () => {
    failedAt = Number.NEGATIVE_INFINITY
  }
  // What was not taken by a broker that went away says nothing about the one that is back.
  connection.on('connection', works)

  const open = async () => {
    await declare()
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
    let channel: Channel | undefined
    let isLate = false
    const send = async () => {
      const prepared = await prepare()
      if (isLate) return
      channel = prepared
      await confirmed(channel, messages)
    }
    try {
      await withDeadline(send(), CONFIRM_MS, late)
    } catch (error) {
      isLate = true
      // Except for a queue that its listener makes again, the next batch begins afresh.
      if (remakes || !(error instanceof Returned)) void channel?.close()
      throw error
    }
  }
  const end = async () => {
    await opening?.catch(() => {})
    await current?.close()
  }
  return {
    prepare,
    isFailing: () => performance.now() - failedAt < LATELY_MS,
    publish: async (messages) => {
      try {
        await publish(messages)
        works()
      } catch (error) {
        failedAt = performance.now()
        throw unavailable(error, 'The queue did not take the messages.')
      }
    },
    [Symbol.asyncDispose]: async () => {
      // One that has fallen silent is left to the end of its connection.
      if (connection.ready) await settlesWithin(end(), CLOSING_MS)
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
