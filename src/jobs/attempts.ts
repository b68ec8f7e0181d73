// The attempts under way in this process, each under its lease.

import { type AttemptEngine, runAttempt } from './attempt.ts'
import { LeaseLost, WorkerStopping } from './job.ts'
import type { Leases } from './leases.ts'
import type { StartedJob } from './start.ts'

export interface Attempts {
  /** Resolves when the attempt is over, whatever came of it; `claimedAt`: before the claim was asked for. */
  run(started: StartedJob, claimedAt: number): Promise<void>
  /** Aborts what runs, and what begins from now on: their jobs are handed back after so long at most. */
  handBack(graceMs: number): void
  readonly count: number
}

export interface AttemptsOptions {
  leases: Leases
  /** How long a handler that was aborted for another reason may take to end. */
  graceMs: number
  engine: Omit<AttemptEngine, 'graceMs'>
}

export function createAttempts({ leases, engine, ...options }: AttemptsOptions): Attempts {
  const endings = new Set<AbortController>()
  let { graceMs } = options
  let isStopping = false
  const stop = (ending: AbortController) => ending.abort(new WorkerStopping('The worker stops.'))

  return {
    run: async (started, claimedAt) => {
      const ending = new AbortController()
      const lose = () => ending.abort(new LeaseLost('The lease of the job was lost.'))
      using lease = leases.hold(started.job, claimedAt, lose)
      endings.add(ending)
      if (isStopping) stop(ending)
      await runAttempt({ ...started, lease, ending }, { ...engine, graceMs: () => graceMs })
      endings.delete(ending)
    },
    handBack: (withinMs) => {
      isStopping = true
      graceMs = withinMs
      for (const ending of endings) stop(ending)
    },
    get count() {
      return endings.size
    },
  }
}
