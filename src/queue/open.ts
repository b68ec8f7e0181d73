// Chooses the adapter. Each is imported only when it is the one.

import type { PostgresQueueOptions } from './postgres.ts'
import type { Queue } from './queue.ts'
import type { RabbitmqQueueOptions } from './rabbitmq.ts'

export type QueueOptions =
  | ({ kind: 'postgres' } & PostgresQueueOptions)
  | ({ kind: 'rabbitmq' } & RabbitmqQueueOptions)

export async function openQueue(options: QueueOptions): Promise<Queue> {
  switch (options.kind) {
    case 'postgres':
      return (await import('./postgres.ts')).openPostgresQueue(options)
    case 'rabbitmq':
      return (await import('./rabbitmq.ts')).openRabbitmqQueue(options)
  }
}
