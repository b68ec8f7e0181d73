// One set of parsers for both adapters, so that a row reads the same whoever answered: bigint as number,
// numeric and times as text, jsonb parsed. What is not listed stays the text that PostgreSQL wrote: the
// drivers' own parsers, which differ, never run.

import { parseArray } from './arrays.ts'

/** ISO 8601 in UTC with six decimals, which a JavaScript Date would lose: `2026-11-20T08:00:00.123456Z`. */
export type Timestamp = string

/** Turns the text of one value into what code sees. */
export type Parser = (text: string) => unknown

const asText: Parser = (text) => text

/** Ids of a type and of its array (`SELECT oid, typarray, typname FROM pg_type`); they never change. */
const types: readonly [oid: number, array: number, parser: Parser][] = [
  [16, 1000, (text) => text === 't'], // bool
  [17, 1001, parseBytea],
  [19, 1003, asText], // name
  [20, 1016, parseInt8],
  [21, 1005, Number], // int2
  [23, 1007, Number], // int4
  [25, 1009, asText], // text
  [26, 1028, Number], // oid
  [114, 199, JSON.parse], // json
  [700, 1021, Number], // float4
  [701, 1022, Number], // float8
  [1043, 1015, asText], // varchar
  [1082, 1182, asText], // date
  [1114, 1115, asText], // timestamp: of no known zone, so it is nobody's moment
  [1184, 1185, parseTimestamptz],
  [1700, 1231, asText], // numeric
  [2950, 2951, asText], // uuid
  [3802, 3807, JSON.parse], // jsonb
]

/** By type id. Sessions run in UTC with ISO dates, which the parser of times checks. */
export const parsers: Readonly<Record<number, Parser>> = Object.fromEntries(
  types.flatMap(([oid, array, parser]) => [
    [oid, (text: string) => parser(text)],
    [array, (text: string) => parseArray(text, parser)],
  ]),
)

/** The parser of a type id, known or not. */
export function parserOf(oid: number): Parser {
  return parsers[oid] ?? asText
}

function parseBytea(text: string): Buffer {
  return Buffer.from(text.slice(2), 'hex')
}

/** bigint columns are counters far below 2^53; one that is not would lose digits in silence. */
function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} does not fit a number`)
  return value
}

/** `2026-11-20 08:00:00.12+00` → `2026-11-20T08:00:00.120000Z`. Throws for `infinity` and years BC. */
export function parseTimestamptz(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text)
  if (!match) throw new RangeError(`not a UTC timestamp: ${text}`)
  return `${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(6, '0')}Z`
}
