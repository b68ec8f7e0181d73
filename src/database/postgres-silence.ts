// Tells a server that has fallen silent from a statement that takes long. A server that is paused, or behind
// a firewall that drops packets, leaves its sessions open: each of their statements would wait for the limit
// that is made for slow ones. So when nothing at all is answered, one more session logs in, to see whether anybody is there.

import pg from 'pg'
import type { Logger } from '../observability/logger.ts'

export interface SilenceWatch extends Disposable {
  /** True from when the server was found silent until it has answered. */
  readonly isAway: boolean
  /** Hands on what becomes of a statement that was just sent; its answer is a sign of life. */
  attend<T>(statement: Promise<T>): Promise<T>
}

export interface SilenceWatchOptions {
  /** Of the session that logs in. */
  config: pg.ClientConfig
  /** Ends all sessions, so that whoever waits for one of them knows. */
  giveUp(): void
  log: Pick<Logger, 'info' | 'warn'> | undefined
}

/** Our statements take milliseconds, and there are some each second: a process looks for work and for events. */
const SUSPICIOUS_AFTER_MS = 5_000
/** A session is opened within 10 ms. */
const ANSWER_WITHIN_MS = 3_000
const LOOK_EVERY_MS = 1_000

/** `giveUp` is called at each look that finds the server silent. */
export function openSilenceWatch({ config, giveUp, log }: SilenceWatchOptions): SilenceWatch {
  let unanswered = 0
  let askedAt = 0
  let heardAt = 0
  let isAway = false
  let isAsking = false
  let isOver = false

  const isSuspicious = () =>
    unanswered > 0 && performance.now() - Math.max(askedAt, heardAt) >= SUSPICIOUS_AFTER_MS
  const conclude = (isSilent: boolean) => {
    if (isSilent) giveUp()
    else heardAt = performance.now()
    if (isSilent && !isAway)
      log?.warn('the database has fallen silent: statements are refused until it answers')
    if (!isSilent && isAway) log?.info('the database answers again')
    isAway = isSilent
  }
  const look = async () => {
    if (isAsking || !(isAway || isSuspicious())) return
    isAsking = true
    const startedAt = performance.now()
    const isThere = (await answers(config, ANSWER_WITHIN_MS)) || heardAt > startedAt
    isAsking = false
    if (!isOver) conclude(!isThere)
  }

  const timer = setInterval(look, LOOK_EVERY_MS)
  return {
    get isAway() {
      return isAway
    },
    attend: async (statement) => {
      if (unanswered++ === 0) askedAt = performance.now()
      try {
        const answer = await statement
        heardAt = performance.now()
        return answer
      } finally {
        unanswered--
      }
    },
    [Symbol.dispose]: () => {
      isOver = true
      clearInterval(timer)
    },
  }
}

/**
 * Whether the server lets in a session of its own within that time, or refuses it: a refusal too comes from somebody.
 * Nothing is asked of it: behind a pooler a statement may have to wait for its turn. Never rejects.
 */
export async function answers(config: pg.ClientConfig, timeoutMs: number): Promise<boolean> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: timeoutMs })
  client.on('error', () => {}) // the call that is under way reports it
  try {
    await client.connect()
    return true
  } catch (error) {
    return error instanceof pg.DatabaseError
  } finally {
    void client.end()
  }
}
