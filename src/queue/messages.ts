// What a broker carries: a bell, or the message of a dead job, which is a bell again when it is put back.
// Everything that counts is in the body, so that it survives being moved by hand.

import { isUuid } from '../lib/uuid.ts'
import type { DeadLetter } from './queue.ts'

/** Of the message's form. Readers refuse what is newer than they are. */
const VERSION = 1

export interface Bell {
  jobId: string
  death?: string
}

/** Why a message is not a bell. */
export interface Refusal {
  reason: 'not_json' | 'not_ours' | 'unknown_version' | 'unknown_job' | 'unknown_kind'
  detail: string
}

/** What `readMessage` reads as a bell of that job. */
export function bellMessage(jobId: string): object {
  return { version: VERSION, job: jobId }
}

/** What lies with the dead, with details for people; put back, it is read as a bell that names the death. */
export function letterMessage({ jobId, death, details }: DeadLetter): object {
  return { ...details, version: VERSION, job: jobId, death }
}

/** Reads the body of any message whatsoever: text or bytes, or a value if somebody has parsed it. */
export function readMessage(body: unknown): Bell | Refusal {
  const message = parse(body)
  if (message === undefined) return { reason: 'not_json', detail: 'The message is not JSON.' }
  const { version, job, death } = isObject(message) ? message : {}
  if (typeof version === 'number' && version > VERSION)
    return { reason: 'unknown_version', detail: 'The message was written by a newer release.' }
  if (version !== VERSION || !isId(job) || (death !== undefined && !isId(death)))
    return { reason: 'not_ours', detail: 'The message does not have the form of a bell.' }
  return { jobId: job, ...(death !== undefined && { death }) }
}

export function isRefusal(read: Bell | Refusal): read is Refusal {
  return 'reason' in read
}

function parse(body: unknown): unknown {
  if (!(typeof body === 'string' || Buffer.isBuffer(body))) return body
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isUuid(value)
}
