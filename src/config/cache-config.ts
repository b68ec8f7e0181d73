// Where the settings say that processes share what they cache.

import { readCertificates } from './certificates.ts'
import { REDIS_PORT, type RedisUrl } from './redis-address.ts'
import { describe, type Resolved } from './resolve.ts'
import type { SettingName, Values } from './settings.ts'
import type { Given } from './sources.ts'

export type SharedCacheConfig =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'redis'
      readonly server: Omit<RedisUrl, 'isTls'> & {
        /** `ca` in PEM; without it the authorities of Node.js are trusted. */
        readonly tls: false | { readonly ca?: string }
      }
      readonly prefix: string
    }

export interface SharedCacheChoice {
  /** To be used only when there are no mistakes, here and in the settings. */
  readonly config: SharedCacheConfig
  readonly derived: Partial<Record<SettingName, string>>
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
}

/** Each says by itself where Redis is. */
const places = [['CACHE_URL'], ['REDIS_ADDR'], ['REDIS_HOST', 'REDIS_PORT']] as const
const onlyForRedis = ['CACHE_PREFIX', 'REDIS_PASSWORD', 'REDIS_CA_FILE'] as const

/** Never throws. */
export function chooseSharedCache(resolved: Resolved, cwd: string): SharedCacheChoice {
  const { values, given } = resolved
  const mistakes: string[] = []
  const warnings: string[] = []
  const place = choosePlace(resolved, mistakes, warnings)
  if (!place) {
    const unused = onlyForRedis.flatMap((name) => given.get(name) ?? [])
    warnings.push(
      ...unused.map((setting) => `${describe(setting)} has no effect: no CACHE_URL is set`),
    )
    return { config: { kind: 'none' }, derived: {}, mistakes, warnings }
  }
  const { isTls, ...address } = addressAt(place, values)
  const password = given.get('REDIS_PASSWORD')
  if (password && address.password !== undefined && address.password !== password.text)
    warnings.push(`${describe(password)} has no effect: ${describe(place)} has a password`)
  const file = given.get('REDIS_CA_FILE')
  if (file && !isTls)
    warnings.push(`${describe(file)} has no effect, because Redis is reached without TLS`)
  const ca =
    isTls && values.REDIS_CA_FILE !== undefined
      ? { ca: readCertificates('REDIS_CA_FILE', values.REDIS_CA_FILE, { cwd, mistakes }) }
      : {}
  const server = {
    ...(values.REDIS_PASSWORD === undefined ? {} : { password: values.REDIS_PASSWORD }),
    ...address,
    tls: isTls && ca,
  }
  const isByHost = place.name === 'REDIS_HOST' || place.name === 'REDIS_PORT'
  const derived = { REDIS_HOST: address.host, REDIS_PORT: String(address.port) }
  const config = { kind: 'redis', server, prefix: values.CACHE_PREFIX } as const
  return { config, derived: isByHost ? derived : {}, mistakes, warnings }
}

/** Of several ways to say where Redis is, the one from the strongest source counts. */
function choosePlace(
  { given, values }: Resolved,
  mistakes: string[],
  warnings: string[],
): Given | undefined {
  const [used, ...others] = places
    .flatMap((names) => names.flatMap((name) => given.get(name) ?? []).sort(byRank)[0] ?? [])
    .sort(byRank)
  for (const other of others) {
    // The files of these services say it twice.
    if (!used || isSamePlace(addressAt(used, values), addressAt(other, values))) continue
    if (used.rank === other.rank)
      mistakes.push(
        `${describe(used)} and ${describe(other)} both say where Redis is, and differ: keep one of them`,
      )
    else warnings.push(`${describe(other)} has no effect: ${describe(used)} says where Redis is`)
  }
  return used
}

function byRank(a: Given, b: Given): number {
  return a.rank - b.rank
}

function isSamePlace(a: RedisUrl, b: RedisUrl): boolean {
  return a.host === b.host && a.port === b.port
}

function addressAt({ name }: Given, values: Values): RedisUrl {
  if (name === 'CACHE_URL' && values.CACHE_URL) return values.CACHE_URL
  const parts = name === 'REDIS_ADDR' ? values.REDIS_ADDR : undefined
  return {
    isTls: false,
    host: parts?.host ?? values.REDIS_HOST ?? 'localhost',
    port: parts?.port ?? values.REDIS_PORT ?? REDIS_PORT,
    database: 0,
  }
}
