// Joins a job's definition with its handler, so that the engine can hold jobs of any payload.

import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import type { JobDefinition, JobHandler } from './job.ts'

export interface BoundJob {
  definition: JobDefinition
  handler: JobHandler
  /** Whether a payload fits the definition; the handler gets to see no other. */
  isPayload(payload: unknown): boolean
}

/** By name. */
export type BoundJobs = ReadonlyMap<string, BoundJob>

/** Compiles the payload's schema: what a row holds is checked by it before the handler sees it. */
export function bindJob<S extends TSchema>(
  definition: JobDefinition<S>,
  handler: JobHandler<Static<S>>,
): BoundJob {
  const validator = Compile(definition.payload)
  return { definition, handler, isPayload: (payload) => validator.Check(payload) }
}

/** What every line in the log about a job carries. */
export function jobFields(
  { definition }: Pick<BoundJob, 'definition'>,
  { id, key }: { id: string; key: string },
): Record<string, unknown> {
  return { job_id: id, job: definition.name, [definition.keyField]: key }
}

/** All that one worker can run. */
export function bindJobs(...jobs: readonly BoundJob[]): BoundJobs {
  return new Map(jobs.map((job) => [job.definition.name, job]))
}
