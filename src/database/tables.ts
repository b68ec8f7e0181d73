// The row types of migrations/, as both adapters hand them out: bigint as number, numeric and times
// as text (times ISO 8601 in UTC with microseconds, which a JavaScript Date would lose), jsonb parsed.

/** ISO 8601 in UTC with six decimals: `2026-11-20T08:00:00.123456Z`. */
export type Timestamp = string

/** What Kysely knows of the schema. Statements are written in SQL, so only table names are kept here. */
export interface Tables {
  users: unknown
  products: unknown
  images: unknown
  objects: unknown
  renditions: unknown
  image_attempts: unknown
  jobs: unknown
  announcer: unknown
  events: unknown
  event_log: unknown
  store: unknown
}
