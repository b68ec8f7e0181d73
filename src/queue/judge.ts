// What becomes of a message that a broker has delivered, whatever the broker: what is a bell is asked for, what
// is none goes to the dead, and what nobody could deal with comes again.

import type { Logger } from '../observability/logger.ts'
import { isRefusal, type Refusal, readMessage } from './messages.ts'
import type { Answer, BellHandler } from './queue.ts'

/**
 * What came of one try at a message. Nothing is lost by a bell that is dropped, for its announcer rings again; the
 * message of a dead job, and what is no bell, are sent by nobody again.
 *
 * | verdict   | who says it, of what                    | what RabbitMQ's listener does     | what Kafka's does             |
 * | --------- | --------------------------------------- | --------------------------------- | ----------------------------- |
 * | `done`    | the handler, of a bell that it heard;   | acknowledges it                   | moves its position on         |
 * |           | the dead, of what they have taken       |                                   |                               |
 * | `unheard` | the handler, of a bell that it could    | acknowledges it: who keeps a bell | tries again; leaves the group |
 * |           | not look up                             | keeps a place from others         | when there is another of them |
 * | `again`   | the same, of the message of a dead job, | tries again                       | as with `unheard`             |
 * |           | or of any while this process stops      |                                   |                               |
 * | `unmoved` | the dead, of what is no bell and was    | tries again; the third time       | tries again                   |
 * |           | not taken, but may be                   | rejects it, for the broker to move|                               |
 * | `refused` | the dead, of what is no bell and will   | (never said: RabbitMQ does not    | tries again; the third time   |
 * |           | not be taken                            | tell)                             | leaves it behind as if `done` |
 *
 * Between two tries the message stays in hand. When the channel or the membership ends, it goes back and comes again.
 */
export type Verdict = 'done' | 'unheard' | 'again' | 'unmoved' | 'refused'

export interface JudgeOptions<M> {
  handler: BellHandler
  /** What the message says, as the broker's client hands it out. */
  bodyOf(message: M): unknown
  /** Which message it is, for the log. */
  nameOf(message: M): Readonly<Record<string, unknown>>
  /** Where the broker has what is dead. */
  dead: string
  /** Puts a message there, with the reason beside it. Rejects when that was not done. */
  move(message: M, headers: ReasonHeaders): Promise<void>
  /** Whether it will reject again, by what it rejected with. Absent where nobody can tell. */
  isRefused?(error: unknown): boolean
  /** From its abort on, whatever was not heard is left to others. */
  signal: AbortSignal
  log: Logger
}

export interface ReasonHeaders {
  'vitrine-reason': Refusal['reason']
  'vitrine-detail': string
}

const unknownJob: Refusal = { reason: 'unknown_job', detail: 'There is no such job.' }
const unknownKind: Refusal = {
  reason: 'unknown_kind',
  detail: 'Nobody here knows this kind of job.',
}

const UNMOVED = 'unmoved'

/** Its judgement never rejects. */
export function createJudge<M>(options: JudgeOptions<M>): (message: M) => Promise<Verdict> {
  const { handler, bodyOf, nameOf, dead, move, isRefused, signal, log } = options
  const told = new Set<string>()
  /** In full once, then for those who look closely. */
  const levelOf = (what: string) => {
    const level = told.has(what) ? 'debug' : 'warn'
    told.add(what)
    return level
  }
  const ask = async (jobId: string, death: string | undefined): Promise<Answer> => {
    try {
      return await handler(jobId, death)
    } catch (error) {
      log.error({ job_id: jobId, err: error }, 'a bell was not answered')
      return 'heard'
    }
  }
  const refuse = async (message: M, { reason, detail }: Refusal): Promise<Verdict> => {
    try {
      await move(message, { 'vitrine-reason': reason, 'vitrine-detail': detail })
    } catch (error) {
      const level = levelOf(UNMOVED)
      log[level]({ err: error, ...nameOf(message) }, `a message could not be moved to ${dead}`)
      return isRefused?.(error) ? 'refused' : 'unmoved'
    }
    told.delete(UNMOVED)
    log[levelOf(reason)](
      { reason, ...nameOf(message) },
      `a message that is no bell was moved to ${dead}: ${detail}`,
    )
    return 'done'
  }
  return async (message) => {
    const read = readMessage(bodyOf(message))
    if (isRefusal(read)) return await refuse(message, read)
    const { jobId, death } = read
    const answer = await ask(jobId, death)
    if (answer === 'unknown') return await refuse(message, unknownJob)
    if (answer === 'foreign') return await refuse(message, unknownKind)
    if (answer === 'heard') return 'done'
    // The message of a dead job is sent again by nobody, and who stops gives everything back.
    return signal.aborted || death !== undefined ? 'again' : 'unheard'
  }
}
