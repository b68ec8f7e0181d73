// One set of parsers for both adapters, so that a row reads the same whoever answered.

const INT8 = 20
const NUMERIC = 1700
const TIMESTAMPTZ = 1184

/** By PostgreSQL type id: text on the wire to the value that code sees. Both sessions run in UTC. */
export const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [INT8]: parseInt8,
  [NUMERIC]: (text) => text,
  [TIMESTAMPTZ]: parseTimestamptz,
}

/** bigint columns are counters far below 2^53; one that is not would lose digits in silence. */
function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} does not fit a number`)
  return value
}

/** `2026-11-20 08:00:00.12+00` → `2026-11-20T08:00:00.120000Z`. */
export function parseTimestamptz(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text)
  if (!match) throw new RangeError(`not a UTC timestamp: ${text}`)
  return `${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(6, '0')}Z`
}
