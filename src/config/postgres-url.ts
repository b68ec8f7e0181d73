// DATABASE_URL, taken apart by strict rules: a password with an unencoded `@`, `/`, `#` or `?` would
// else be read as another host and database without a word, and shown as such.

import { decodePart, withoutBrackets } from './url-parts.ts'
import { hostOrSocketFolder, isOneLine, oneOf, type ValueType } from './value-types.ts'

export const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

/** What a URL says; what it leaves out is undefined. */
export interface PostgresUrl {
  host: string | undefined
  port: number | undefined
  user: string | undefined
  password: string | undefined
  database: string | undefined
  sslMode: SslMode | undefined
  sslRootCert: string | undefined
  /** Whether it has parameters beyond those two and `host`. */
  hasOtherParameters: boolean
}

export const postgresUrl: ValueType<PostgresUrl> = {
  name: 'URL',
  expects: `postgres://user:password@host:port/database with special characters percent-encoded, and sslmode, if any, ${oneOf(sslModes).expects}`,
  parse: (text) => {
    const url = isOneLine(text) && !text.includes('#') ? URL.parse(text) : null
    return url && /^postgres(ql)?:$/.test(url.protocol) ? takeApart(url) : undefined
  },
}

function takeApart(url: URL): PostgresUrl | undefined {
  const {
    host = url.hostname,
    sslmode,
    sslrootcert,
    ...others
  } = Object.fromEntries(url.searchParams)
  const parts = {
    host: decodePart(withoutBrackets(host)),
    user: decodePart(url.username),
    password: decodePart(url.password),
    database: decodePart(url.pathname.replace(/^\//, '')),
  }
  const sslMode = sslmode === undefined ? undefined : oneOf(sslModes).parse(sslmode)
  const isWrong =
    Object.values(parts).includes(undefined) ||
    /@/.test(url.pathname + url.search) ||
    (parts.host && hostOrSocketFolder.parse(parts.host) === undefined) ||
    parts.database?.includes('/') ||
    url.port === '0' ||
    (sslmode !== undefined && sslMode === undefined)
  if (isWrong) return undefined
  return {
    host: parts.host || undefined,
    port: url.port ? Number(url.port) : undefined,
    user: parts.user || undefined,
    password: parts.password || undefined,
    database: parts.database || undefined,
    sslMode,
    sslRootCert: sslrootcert || undefined,
    hasOtherParameters: Object.keys(others).length > 0,
  }
}
