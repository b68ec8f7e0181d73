// How both adapters hand out the values of rows: bigint as number, numeric and times as text (times
// ISO 8601 in UTC with microseconds, which a JavaScript Date would lose), jsonb parsed.

/** ISO 8601 in UTC with six decimals: `2026-11-20T08:00:00.123456Z`. */
export type Timestamp = string
