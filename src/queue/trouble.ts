// What is said about a broker that goes and comes: one line when something does not work any more, one when
// everything works again, however long it takes and however many parts of it there are.

import type { Logger } from '../observability/logger.ts'

/** Says once that something does not work, and once that everything works again. */
export interface Trouble {
  begin(part: string, error: unknown): void
  end(part: string): void
}

/** `broker` begins the sentences: `RabbitMQ at mq.example:5672`. */
export function createTrouble(broker: string, log: Logger): Trouble {
  const parts = new Set<string>()
  return {
    begin: (part, error) => {
      if (parts.size === 0) log.warn({ err: error }, `${broker} does not work; trying again`)
      parts.add(part)
    },
    end: (part) => {
      if (parts.delete(part) && parts.size === 0) log.info(`${broker} works again`)
    },
  }
}
