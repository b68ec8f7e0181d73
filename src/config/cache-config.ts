// Where the settings say that processes share what they cache.

import { type CheckedTls, chooseTls } from './certificates.ts'
import { type Choice, choosePlace, type Notes, type Places, unusedWarnings } from './choice.ts'
import { REDIS_PORT, type RedisUrl } from './redis-address.ts'
import { describe, type Resolved } from './resolve.ts'
import type { Values } from './settings.ts'
import type { Given } from './sources.ts'

export type SharedCacheConfig =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'redis'
      readonly server: Omit<RedisUrl, 'isTls'> & { readonly tls: false | CheckedTls }
      readonly prefix: string
    }

const ways = [['CACHE_URL'], ['REDIS_ADDR'], ['REDIS_HOST', 'REDIS_PORT']] as const
const onlyForRedis = ['CACHE_PREFIX', 'REDIS_PASSWORD', 'REDIS_CA_FILE'] as const

/** Never throws. */
export function chooseSharedCache(resolved: Resolved, cwd: string): Choice<SharedCacheConfig> {
  const { values, given } = resolved
  const notes: Notes = { mistakes: [], warnings: [] }
  const place = choosePlace(resolved, placesOf(values), notes)
  if (!place) {
    const warnings = unusedWarnings(resolved, onlyForRedis, 'no CACHE_URL is set')
    return { config: { kind: 'none' }, derived: {}, mistakes: [], warnings }
  }
  const { isTls, ...address } = addressAt(place, values)
  const password = given.get('REDIS_PASSWORD')
  if (password && address.password !== undefined && address.password !== password.text)
    notes.warnings.push(`${describe(password)} has no effect: ${describe(place)} has a password`)
  const server = {
    ...(values.REDIS_PASSWORD === undefined ? {} : { password: values.REDIS_PASSWORD }),
    ...address,
    tls: chooseTls('REDIS_CA_FILE', resolved, { isTls, what: 'Redis', cwd, notes }),
  }
  const isByHost = place.name === 'REDIS_HOST' || place.name === 'REDIS_PORT'
  const derived = { REDIS_HOST: address.host, REDIS_PORT: String(address.port) }
  const config = { kind: 'redis', server, prefix: values.CACHE_PREFIX } as const
  return { config, derived: isByHost ? derived : {}, ...notes }
}

function placesOf(values: Values): Places {
  // The files of services like this one say it twice.
  const isSame = (a: Given, b: Given) => isSameServer(addressAt(a, values), addressAt(b, values))
  return { what: 'Redis', ways, isSame }
}

function isSameServer(a: RedisUrl, b: RedisUrl): boolean {
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
