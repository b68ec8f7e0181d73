// Jobs that this process has put off for want of room, to be started when there is some: what waits in
// the ledger for its time is announced once a second only. Lanes take turns, so that one lane's hundreds
// do not hold up another's one. A hint in memory: the ledger announces them again, here or elsewhere,
// whatever becomes of this.

import { admit, type Candidate, type PutOff } from './start.ts'

export interface Parking {
  /** Remembers a job for as long as it is put off. */
  add(putOff: PutOff): void
  /** Its bell has rung again. */
  remove(jobId: string): void
  /** Of the lane whose turn it is, the job waiting longest among those that have room now, with its place. */
  next(): { candidate: Candidate; place: Disposable } | undefined
}

/** More would take long to look through, and hardly be started before their time. */
const CAPACITY = 256

interface Parked {
  candidate: Candidate
  until: number
}

/** `now`: monotonic milliseconds. */
export function createParking(now: () => number): Parking {
  /** In the order of their turns; the jobs of each in the order of waiting. None is empty. */
  const lanes = new Map<string, Map<string, Parked>>()
  const drop = (lane: string, jobId: string) => {
    const jobs = lanes.get(lane)
    jobs?.delete(jobId)
    if (jobs?.size === 0) lanes.delete(lane)
  }
  const forget = (isOver: (jobId: string, parked: Parked) => boolean) => {
    for (const [lane, jobs] of lanes)
      for (const [jobId, parked] of jobs) if (isOver(jobId, parked)) drop(lane, jobId)
  }
  const forgetLate = () => forget((_, { until }) => until <= now())
  /** When all places are taken, the lane with the most gives one to a lane with fewer. */
  const hasRoomFor = (lane: string) => {
    let [count, longest] = [0, lane]
    for (const [other, jobs] of lanes) {
      count += jobs.size
      if (jobs.size > 1 + (lanes.get(longest)?.size ?? 0)) longest = other
    }
    if (count < CAPACITY) return true
    const last = [...(lanes.get(longest)?.keys() ?? [])].at(-1)
    if (longest === lane || last === undefined) return false
    drop(longest, last)
    return true
  }
  return {
    add: ({ candidate, pauseMs }) => {
      forgetLate()
      const { lane } = candidate.due
      if (!hasRoomFor(lane)) return
      const jobs = lanes.get(lane) ?? new Map<string, Parked>()
      jobs.set(candidate.jobId, { candidate, until: now() + pauseMs })
      lanes.set(lane, jobs)
    },
    remove: (jobId) => forget((parkedId) => parkedId === jobId),
    next: () => {
      forgetLate()
      for (const [lane, jobs] of lanes) {
        for (const [jobId, { candidate }] of jobs) {
          const place = admit(candidate)
          if (!place) continue
          lanes.delete(lane)
          jobs.delete(jobId)
          if (jobs.size > 0) lanes.set(lane, jobs) // the others first, next time
          return { candidate, place }
        }
      }
      return undefined
    },
  }
}
