// Chooses the adapter. Each is imported only when it is the one.

import type { KafkaQueueOptions } from './kafka.ts'
import type { PostgresQueueOptions } from './postgres.ts'
import type { Queue } from './queue.ts'
import type { RabbitmqQueueOptions } from './rabbitmq.ts'

export type QueueOptions =
  | ({ kind: 'postgres' } & PostgresQueueOptions)
  | ({ kind: 'rabbitmq' } & RabbitmqQueueOptions)
  | ({ kind: 'kafka' } & KafkaQueueOptions)

export async function openQueue(options: QueueOptions): Promise<Queue> {
  switch (options.kind) {
    case 'postgres':
      return (await import('./postgres.ts')).openPostgresQueue(options)
    case 'rabbitmq':
      return (await import('./rabbitmq.ts')).openRabbitmqQueue(options)
    case 'kafka':
      return (await import('./kafka.ts')).openKafkaQueue(options)
  }
}
