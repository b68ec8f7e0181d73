// From bells to running attempts: a slot, a place where the handler has room, a claim. What has no room
// is put off, and remembered until some attempt of ours has ended.

import { isAppError } from '../errors.ts'
import { createSlots, type Slot } from '../lib/slots.ts'
import type { Logger } from '../observability/logger.ts'
import type { Answer, BellHandler } from '../queue/queue.ts'
import { createParking } from './parking.ts'
import { admit, type Candidate, type StartedJob, type Starter } from './start.ts'

export interface IntakeOptions {
  starter: Starter
  /** Jobs in flight at most. */
  concurrency: number
  /** Runs the attempt of a claimed job; `claimedAt` is `now()` before the claim. Never rejects. */
  run(started: StartedJob, claimedAt: number): Promise<void>
  /** Aborted when nothing more is to be taken in. */
  signal: AbortSignal
  log: Logger
  /** Monotonic milliseconds. */
  now: () => number
}

export interface Intake {
  /** Answers a bell: resolves when its job is claimed, refused, or put off. Never rejects. */
  answer: BellHandler
  /** Resolves when no attempt is under way any more. */
  finish(): Promise<void>
}

/** Claims by `starter` and hands what is claimed to `run`. */
export function createIntake(options: IntakeOptions): Intake {
  const { starter, run, signal, log, now } = options
  const slots = createSlots(options.concurrency)
  const parking = createParking(now)
  const underWay = new Set<Promise<void>>()

  const track = (work: Promise<void>) => {
    const ended = work.finally(() => underWay.delete(ended))
    underWay.add(ended)
  }
  /** The bell is lost, but not the job: it is rung again. */
  const report = (error: unknown) => {
    const level = isAppError(error, 'unavailable') ? 'debug' : 'error'
    log[level]({ err: error }, 'a bell could not be answered')
  }
  /** Slot and place stay with the attempt until it has ended, and are given back when there is none. */
  const enter = async (candidate: Candidate, place: Disposable, slot: Slot) => {
    const leave = () => {
      place[Symbol.dispose]()
      slot.release()
      resume()
    }
    const claimedAt = now()
    const started = await starter.start(candidate).catch(report)
    if (started) track(run(started, claimedAt).finally(leave))
    else leave()
  }
  const resume = () => {
    const next = signal.aborted ? undefined : parking.next()
    if (next) track(enterParked(next.candidate, next.place))
  }
  const enterParked = async (candidate: Candidate, place: Disposable) => {
    const slot = await slots.take(signal)
    if (slot) await enter(candidate, place, slot)
    else place[Symbol.dispose]()
  }
  const consider = async (jobId: string, slot: Slot): Promise<Answer> => {
    parking.remove(jobId)
    const candidate = await starter.find(jobId)
    if (candidate && candidate !== 'unknown') await admitOrPutOff(candidate, slot)
    else slot.release()
    return candidate === 'unknown' ? 'unknown' : 'heard'
  }
  const admitOrPutOff = async (candidate: Candidate, slot: Slot) => {
    const place = admit(candidate)
    if (place) return await enter(candidate, place, slot)
    const parked = await starter.putOff(candidate)
    slot.release()
    if (!parked) return
    parking.add(parked)
    resume() // room may have come meanwhile, and nobody else would notice
  }
  /** False when the job has to stay dead, for others; else it is considered like that of any other bell. */
  const mayRevive = async (jobId: string, death: string) => {
    const revival = await starter.revive(jobId, death)
    if (revival === 'revived') log.info({ job_id: jobId, death }, 'a dead job runs again')
    return revival !== 'left'
  }
  return {
    answer: async (jobId, death) => {
      const slot = await slots.take(signal)
      if (!slot) return 'unheard'
      try {
        if (death === undefined || (await mayRevive(jobId, death)))
          return await consider(jobId, slot)
        slot.release()
        return 'foreign'
      } catch (error) {
        slot.release()
        report(error)
        return isAppError(error, 'unavailable') ? 'unheard' : 'heard'
      }
    },
    finish: async () => {
      while (underWay.size > 0) await Promise.all(underWay)
    },
  }
}
