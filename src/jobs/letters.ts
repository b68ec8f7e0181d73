// A death is told to the queue until the queue has confirmed it, for operators who look there. As with
// bells, marking comes before and publishing is outside any transaction: what got lost on the way is told again.

import { type RawBuilder, sql } from 'kysely'
import type { Database, Db } from '../database/database.ts'
import type { Timestamp } from '../database/types.ts'
import type { DeadLetter, Queue } from '../queue/queue.ts'
import { milliseconds } from './claim.ts'
import type { JobDefinition, JobFailure } from './job.ts'

export interface LettersOptions {
  database: Database
  bury: NonNullable<Queue['bury']>
  /** The kinds of jobs of whose payload something is told. */
  definitions: readonly JobDefinition[]
}

/** Batches begin with one letter and double up to this, so that a queue with little room gets on all the same. */
const LARGEST_BATCH = 100
/** Well over what a queue that answers at all takes for a batch. */
const AGAIN_MS = 30_000

/** Tells the queue of deaths that it does not know. Throws what it throws. */
export async function buryDead(options: LettersOptions, signal: AbortSignal): Promise<void> {
  const { db } = options.database
  for (let size = 1; !signal.aborted; size = Math.min(2 * size, LARGEST_BATCH)) {
    const dead = await markUnburied(db, size)
    if (dead.length > 0) await tell(db, dead, options)
    if (dead.length < size) return
  }
}

async function tell(
  db: Db,
  dead: readonly Dead[],
  { bury, definitions }: Pick<LettersOptions, 'bury' | 'definitions'>,
): Promise<void> {
  try {
    await bury(dead.map((job) => letterOf(job, definitions)))
  } catch (error) {
    await setMark(db, dead, null)
    throw error
  }
  await setMark(db, dead, 'infinity')
}

interface Dead {
  id: string
  name: string
  key: string
  payload: unknown
  attempts: number
  death: string
  error: JobFailure
  finishedAt: Timestamp
}

function letterOf(dead: Dead, definitions: readonly JobDefinition[]): DeadLetter {
  const { id, name, key, payload, attempts, death, error, finishedAt } = dead
  const definition = definitions.find((known) => known.name === name)
  return {
    jobId: id,
    death,
    details: {
      kind: name,
      code: error.code,
      detail: error.detail,
      ...(error.stage !== undefined && { stage: error.stage }),
      attempts,
      died_at: finishedAt,
      ...subjectOf(payload, definition),
      [definition?.keyField ?? 'key']: key,
    },
  }
}

/** Nothing of what another release may have written in another form. */
function subjectOf(payload: unknown, definition: JobDefinition | undefined) {
  const members: Record<string, unknown> = { ...(payload as object) }
  return Object.fromEntries(
    Object.entries(definition?.subject ?? {}).flatMap(([name, member]) => {
      const value = members[member]
      return typeof value === 'string' ? [[name, value] as const] : []
    }),
  )
}

async function markUnburied(db: Db, limit: number): Promise<Dead[]> {
  // Materialized: joined as it is, the choice may be made again for each row, and then takes more than the limit.
  const { rows } = await sql<Dead>`
    WITH chosen AS MATERIALIZED (
      SELECT id FROM jobs WHERE ${isUnburied}
      ORDER BY finished_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
    UPDATE jobs SET ring_again_at = now() + ${milliseconds(AGAIN_MS)} FROM chosen
    WHERE jobs.id = chosen.id AND ${isUnburied}
    RETURNING jobs.id, jobs.name, jobs.key, jobs.payload, jobs.attempts, jobs.death, jobs.error,
      jobs.finished_at AS "finishedAt"`.execute(db)
  return rows
}

const isUnburied: RawBuilder<unknown> = sql`jobs.state = 'dead'
  AND (jobs.ring_again_at IS NULL OR jobs.ring_again_at < 'infinity')
  AND coalesce(jobs.ring_again_at, jobs.finished_at) <= now()`

/**
 * Of those that are still dead of the same death; no two jobs share one. By their ids as an array, not by a join: where
 * statistics are behind a burst of deaths, a join is made by reading all the dead for each (19 s for 2,000 of 100,000).
 */
async function setMark(db: Db, dead: readonly Dead[], mark: 'infinity' | null): Promise<void> {
  const ids = dead.map(({ id }) => id)
  const deaths = dead.map(({ death }) => death)
  await sql`
    UPDATE jobs SET ring_again_at = ${mark}::timestamptz
    WHERE id = ANY(ARRAY(
        SELECT id FROM jobs
        WHERE id = ANY(${ids}::uuid[]) AND state = 'dead' AND death = ANY(${deaths}::uuid[])
        ORDER BY id FOR UPDATE SKIP LOCKED))
      AND state = 'dead' AND death = ANY(${deaths}::uuid[])`.execute(db)
}
