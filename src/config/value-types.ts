// How the value of a setting is written. A parser never throws and never changes its mind about what
// a text means: an odd spelling is refused, not guessed at.

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

export interface ValueType<T> {
  /** What the documentation says of it, in a few words. */
  readonly name: string
  /** What a right value is; completes the sentence "must be …". */
  readonly expects: string
  /** What `config.yaml` may hold instead of a text: `[a, b]` for `a,b`, `{ a: 1 }` for `a=1`. */
  readonly collection?: 'list' | 'map'
  /** The value; undefined when the text is not one. */
  parse(text: string): T | undefined
}

/** The type of the values that a ValueType parses to. */
export type ParsedBy<V> = V extends ValueType<infer T> ? T : never

export interface Bounds {
  min: number
  max: number
}

export interface PortRange {
  readonly from: number
  readonly to: number
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const durationUnits = [
  ['d', DAY],
  ['h', HOUR],
  ['m', MINUTE],
  ['s', SECOND],
  ['ms', 1],
] as const

const sizeUnits = [
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['B', 1],
] as const

/** The longest wait a timer of Node.js can hold is 2^31 - 1 ms; a longer one would fire at once. */
const LONGEST_TIMER_MS = 24 * DAY

export function integer({ min, max }: Bounds): ValueType<number> {
  return {
    name: `whole number, ${min} to ${max}`,
    expects: `a whole number from ${min} to ${max}`,
    parse: (text) => within(parseDigits(text), { min, max }),
  }
}

/** Milliseconds, written with a unit: `500ms`, `30s`, `5m`, `1h`, `7d`. */
export function duration({
  min = 1,
  max = LONGEST_TIMER_MS,
}: Partial<Bounds> = {}): ValueType<number> {
  return {
    name: `duration, ${formatDuration(min)} to ${formatDuration(max)}`,
    expects: `a duration from ${formatDuration(min)} to ${formatDuration(max)}, written as 500ms, 30s, 5m, 1h or 7d`,
    parse: (text) => within(parseQuantity(text, durationUnits), { min, max }),
  }
}

/** Bytes, written with a unit: `512B`, `64KiB`, `25MiB`, `1GiB`. */
export function size({ min, max }: Bounds): ValueType<number> {
  return {
    name: `size, ${formatSize(min)} to ${formatSize(max)}`,
    expects: `a size from ${formatSize(min)} to ${formatSize(max)}, written as 512B, 64KiB, 25MiB or 1GiB`,
    parse: (text) => within(parseQuantity(text, sizeUnits), { min, max }),
  }
}

/** Writes milliseconds (a whole number) in the largest unit that fits exactly. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, durationUnits)
}

/** Writes bytes (a whole number) in the largest unit that fits exactly. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, sizeUnits)
}

export const boolean: ValueType<boolean> = {
  name: '`true` or `false`',
  expects: 'true or false',
  parse: (text) => {
    if (/^(true|yes|on|1)$/i.test(text)) return true
    return /^(false|no|off|0)$/i.test(text) ? false : undefined
  },
}

export function oneOf<const T extends string>(choices: readonly T[]): ValueType<T> {
  return {
    name: choices.map((choice) => `\`${choice}\``).join(', '),
    expects: `one of ${choices.join(', ')}`,
    parse: (text) => choices.find((choice) => choice === text.toLowerCase()),
  }
}

/** Any text of one line. Control characters are refused: they end strings in drivers, logs and headers. */
export const text: ValueType<string> = {
  name: 'text',
  expects: 'a text of at most 1024 characters on one line',
  parse: (value) => (isOneLine(value) && value.length <= 1024 ? value : undefined),
}

export const path: ValueType<string> = {
  name: 'path',
  expects: 'the path of a file or folder, at most 4096 characters on one line',
  parse: (value) => (isOneLine(value) && value.length <= 4096 ? value : undefined),
}

export const host: ValueType<string> = {
  name: 'host',
  expects: 'a host name or an IP address, without port and brackets',
  parse: (value) => (isHost(value) ? value : undefined),
}

/** Where PostgreSQL is: a host, or the folder of its Unix socket. */
export const hostOrSocketFolder: ValueType<string> = {
  name: 'host or folder',
  expects: "a host name, an IP address, or the absolute path of a Unix socket's folder",
  parse: (value) => (value.startsWith('/') ? path.parse(value) : host.parse(value)),
}

/** The address that clients use, without a slash at its end. */
export const publicUrl: ValueType<string> = {
  name: 'URL',
  expects: 'an http or https URL without credentials, query and fragment',
  parse: (value) => {
    const url = isOneLine(value) ? URL.parse(value) : null
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined
    if (url.username || url.password || /[?#]/.test(value)) return undefined
    return url.href.replace(/\/+$/, '')
  },
}

/** Of the names that services allow the widest: AWS itself has lower case only. */
export const bucketName: ValueType<string> = {
  name: 'bucket',
  expects: 'the name of a bucket: 3 to 63 letters, digits, dots, hyphens and underscores',
  parse: (value) => (/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i.test(value) ? value : undefined),
}

/** The name of the bucket. */
export const bucketUrl: ValueType<string> = {
  name: 'URL',
  expects: 's3://bucket and nothing else',
  parse: (value) => bucketName.parse(/^s3:\/\/([^/]+)\/?$/.exec(value)?.[1] ?? ''),
}

export const awsRegion: ValueType<string> = {
  name: 'region',
  expects: 'the name of a region, such as eu-central-1',
  parse: (value) => (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value) ? value : undefined),
}

/** Origins as browsers write them: `https://shop.example`, or `*` for every one. */
export const origins: ValueType<readonly string[]> = {
  name: 'origins',
  collection: 'list',
  expects:
    'a list of origins such as https://shop.example,http://localhost:5173, without a path or a slash at their ends, or *',
  parse: (value) => (value === '*' ? ['*'] : parseList(value, parseOrigin)),
}

/** Networks as `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one. */
export const networks: ValueType<readonly string[]> = {
  name: 'networks',
  collection: 'list',
  expects:
    'a list of networks such as 10.0.0.0/8,fd00::/8: IPv4 in its four parts, never inside IPv6, no bits set beyond the prefix',
  parse: (value) => parseList(value, parseNetwork),
}

export const ports: ValueType<readonly PortRange[]> = {
  name: 'ports and ranges',
  collection: 'list',
  expects: 'a list of ports from 1 to 65535 and of their ranges, such as 80,443,1024-65535',
  parse: (value) => parseList(value, parsePortRange),
}

/** Pairs `area=choice`, such as `pipeline=debug,http=warn`; an area stands in it once. */
export function choicePerArea<const A extends string, const T extends string>(
  areas: readonly A[],
  choices: readonly T[],
): ValueType<Readonly<Partial<Record<A, T>>>> {
  const [area, choice] = [oneOf(areas), oneOf(choices)]
  return {
    name: 'areas and levels',
    collection: 'map',
    expects: `a list such as pipeline=debug,http=warn, of areas (${areas.join(', ')}) and ${choice.expects}`,
    parse: (value) => {
      const pairs = parseList(value, (item) => {
        const [, key = '', chosen = ''] = /^([a-z]+)\s*=\s*([a-z]+)$/i.exec(item) ?? []
        const pair = [area.parse(key), choice.parse(chosen)] as const
        return pair.includes(undefined) ? undefined : pair
      })
      if (!pairs || new Set(pairs.map(([key]) => key)).size < pairs.length) return undefined
      return Object.fromEntries(pairs)
    },
  }
}

function parseDigits(text: string): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : undefined
  return Number.isSafeInteger(value) ? value : undefined
}

function within(value: number | undefined, { min, max }: Bounds): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined
}

type Units = readonly (readonly [name: string, factor: number])[]

function parseQuantity(text: string, units: Units): number | undefined {
  const [, digits, name] = /^(\d+) ?([a-z]+)$/i.exec(text) ?? []
  const factor = units.find(([unit]) => unit === name)?.[1]
  const count = digits === undefined ? undefined : parseDigits(digits)
  if (factor === undefined || count === undefined) return undefined
  return Number.isSafeInteger(count * factor) ? count * factor : undefined
}

function formatQuantity(value: number, units: Units): string {
  for (const [name, factor] of units) {
    if (value >= factor && value % factor === 0) return `${value / factor}${name}`
  }
  return `${value}${units.at(-1)?.[0]}`
}

/** Undefined when one element is wrong or there is none at all: `,` and ` ` are typing errors. */
export function parseList<T>(
  list: string,
  parse: (item: string) => T | undefined,
): readonly T[] | undefined {
  const items: T[] = []
  for (const item of list.split(',')) {
    const parsed = parse(item.trim())
    if (parsed === undefined) return undefined
    items.push(parsed)
  }
  return items
}

function parsePortRange(text: string): PortRange | undefined {
  const [, first, last] = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(text) ?? []
  const port = integer({ min: 1, max: 65_535 })
  const from = first === undefined ? undefined : port.parse(first)
  const to = last === undefined ? from : port.parse(last)
  return from !== undefined && to !== undefined && from <= to ? { from, to } : undefined
}

/** What a browser sends has no default port, no capitals, no path and no pattern: anything else would never match. */
function parseOrigin(text: string): string | undefined {
  const url = text.includes('*') ? null : URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined
  return url.origin === text.toLowerCase() ? url.origin : undefined
}

/** An allow-list is a hole in a wall, so it is read strictly: `10.1.2.3/8` may have meant one host. */
function parseNetwork(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.split('/')
  if (rest.length > 0 || isIP(address) === 0 || address.includes('%')) return undefined
  const parsed = ipaddr.parse(address)
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()) return undefined
  const bytes = parsed.toByteArray()
  const bits = bytes.length * 8
  const length = prefix === undefined ? bits : integer({ min: 0, max: bits }).parse(prefix)
  if (length === undefined || hasBitsBeyond(bytes, length)) return undefined
  return `${address.toLowerCase()}/${length}`
}

function hasBitsBeyond(bytes: readonly number[], length: number): boolean {
  return bytes.some((byte, index) => {
    const kept = Math.min(8, Math.max(0, length - index * 8))
    return (byte & (0xff >> kept)) !== 0
  })
}

/** Whether a text holds no control characters and no half of a character. */
export function isOneLine(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return value.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(value)
}

function isHost(value: string): boolean {
  return isIP(value) !== 0 || /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9._-]*[a-z0-9])?\.?$/i.test(value)
}
