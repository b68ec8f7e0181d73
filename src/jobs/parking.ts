// Jobs that this process has put off for want of room, to be started when there is some: what waits in
// the ledger for its time is announced once a second only. A hint in memory: the ledger announces them
// again, here or elsewhere, whatever becomes of this.

import { admit, type Candidate, type PutOff } from './start.ts'

export interface Parking {
  /** Remembers a job for as long as it is put off. */
  add(putOff: PutOff): void
  /** Its bell has rung again. */
  remove(jobId: string): void
  /** The job waiting longest among those that have room now, with its place. */
  next(): { candidate: Candidate; place: Disposable } | undefined
}

/** More would take long to look through, and hardly be started before their time. */
const CAPACITY = 256

/** `now`: monotonic milliseconds. */
export function createParking(now: () => number): Parking {
  const parked = new Map<string, { candidate: Candidate; until: number }>()
  const forget = () => {
    for (const [jobId, { until }] of parked) if (until <= now()) parked.delete(jobId)
  }
  return {
    add: ({ candidate, pauseMs }) => {
      forget()
      if (parked.size < CAPACITY) parked.set(candidate.jobId, { candidate, until: now() + pauseMs })
    },
    remove: (jobId) => void parked.delete(jobId),
    next: () => {
      forget()
      for (const [jobId, { candidate }] of parked) {
        const place = admit(candidate)
        if (!place) continue
        parked.delete(jobId)
        return { candidate, place }
      }
      return undefined
    },
  }
}
