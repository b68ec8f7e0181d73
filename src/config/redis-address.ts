// CACHE_URL and REDIS_ADDR, taken apart by the strict rules of DATABASE_URL: what a password with an
// unencoded character would turn into is refused, not guessed at.

import { decodePart, withoutBrackets } from './url-parts.ts'
import { host as hostType, isOneLine, type ValueType } from './value-types.ts'

export const REDIS_PORT = 6379

export interface RedisUrl {
  readonly isTls: boolean
  readonly host: string
  readonly port: number
  /** The part of it that is there. */
  readonly user?: string
  readonly password?: string
  readonly database: number
}

export const redisUrl: ValueType<RedisUrl> = {
  name: 'URL',
  expects:
    'redis://user:password@host:port/database, or rediss:// with TLS, with special characters percent-encoded and without parameters',
  parse: (text) => {
    const url = isOneLine(text) && !/[#?]/.test(text) ? URL.parse(text) : null
    return url && /^(redis|valkey)s?:$/.test(url.protocol) ? takeApart(url) : undefined
  },
}

/** `host:port`, or a host alone. */
export const redisAddress: ValueType<{ readonly host: string; readonly port: number }> = {
  name: 'host:port',
  expects: 'host:port, without a scheme, user or password',
  parse: (text) => {
    const url = /^[^/@?#\s]+$/.test(text) ? URL.parse(`redis://${text}`) : null
    const parts = url && takeApart(url)
    return parts ? { host: parts.host, port: parts.port } : undefined
  },
}

function takeApart(url: URL): RedisUrl | undefined {
  const host = withoutBrackets(url.hostname)
  const [user, password] = [decodePart(url.username), decodePart(url.password)]
  const database = /^\/?(\d{1,5})?$/.exec(url.pathname)
  const isWrong = hostType.parse(host) === undefined || url.port === '0' || !database
  if (isWrong || user === undefined || password === undefined) return undefined
  return {
    isTls: /^(rediss|valkeys):$/.test(url.protocol),
    host,
    port: url.port ? Number(url.port) : REDIS_PORT,
    ...(user === '' ? {} : { user }),
    ...(password === '' ? {} : { password }),
    database: Number(database[1] ?? 0),
  }
}
