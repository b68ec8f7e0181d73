// Which database the settings mean, and how to reach it. What is left out gets a default of ours, so
// that PGHOST, PGSSLMODE and their like decide nothing; only for a password the driver may still look
// where PostgreSQL's own tools look.

import { resolve as resolvePath } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readCertificates } from './certificates.ts'
import { type Choice, choosePlace, type Notes, type Places } from './choice.ts'
import type { PostgresUrl, SslMode } from './postgres-url.ts'
import { describe, type Resolved } from './resolve.ts'
import type { Given } from './sources.ts'

/** TLS as `node:tls` takes it. Without `ca`, the authorities of Node.js are trusted. */
export interface DatabaseTls {
  readonly rejectUnauthorized: boolean
  readonly ca?: string
  /** Given when the host name is not to be checked. */
  readonly checkServerIdentity?: () => undefined
}

export interface DatabaseConnection {
  /** A host, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password?: string
  readonly database: string
  readonly ssl: false | DatabaseTls
}

export type DatabaseConfig =
  | { readonly engine: 'pglite'; readonly directory: string }
  | {
      readonly engine: 'postgres'
      readonly connection: DatabaseConnection
      readonly poolSize: number
    }

export interface Folders {
  /** Paths are relative to it. */
  cwd: string
  dataDir: string
}

const OTHER_PARAMETERS =
  'DATABASE_URL has parameters without effect: only host, sslmode and sslrootcert are used'
const UNUSED_CERTIFICATE = 'DB_SSLROOTCERT has no effect, because DB_SSLMODE is disable'
const PREFER =
  'sslmode prefer means require here; for a database without TLS set DB_SSLMODE=disable'
const CERTIFICATE_NEEDED =
  'DB_SSLROOTCERT must name a file for sslmode verify-ca, which without it would trust whom any authority has signed; or use verify-full'

const ways = [
  ['DATABASE_URL'],
  ['DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME'],
] as const

/** Never throws. */
export function chooseDatabase(
  resolved: Resolved,
  { cwd, dataDir }: Folders,
): Choice<DatabaseConfig> {
  const notes: Notes = { mistakes: [], warnings: [] }
  const place = choosePlace(resolved, placesOf(resolved), notes)
  if (!place) {
    const config = { engine: 'pglite', directory: resolvePath(dataDir, 'db') } as const
    return { config, derived: {}, ...notes }
  }
  const url = place.name === 'DATABASE_URL' ? resolved.values.DATABASE_URL : undefined
  const address = addressAt(url, resolved)
  const tls = chooseTls(url, resolved, { cwd, notes })
  const connection = { ...address, ssl: address.host.startsWith('/') ? (false as const) : tls }
  const poolSize = resolved.values.DB_POOL_SIZE
  const config = { engine: 'postgres', connection, poolSize } as const
  const derived = place.name === 'DATABASE_URL' ? {} : texts(address)
  return { config, derived, ...notes }
}

function placesOf(resolved: Resolved): Places {
  const { DATABASE_URL: url } = resolved.values
  const isSameAddress = isDeepStrictEqual(addressAt(url, resolved), addressAt(undefined, resolved))
  const saysAddressAlone = url?.sslMode === undefined && url?.sslRootCert === undefined
  // What a weaker URL says of TLS would be lost without a word.
  const isSame = ({ name }: Given) => isSameAddress && (name === 'DATABASE_URL' || saysAddressAlone)
  return { what: 'the database', ways, isSame }
}

function addressAt(
  url: PostgresUrl | undefined,
  { values }: Resolved,
): Omit<DatabaseConnection, 'ssl'> {
  const said = url ?? {
    host: values.DB_HOST,
    port: values.DB_PORT,
    user: values.DB_USER,
    password: values.DB_PASSWORD,
    database: values.DB_NAME,
  }
  return {
    host: said.host ?? 'localhost',
    port: said.port ?? 5432,
    user: said.user ?? 'postgres',
    ...(said.password === undefined ? {} : { password: said.password }),
    database: said.database ?? 'vitrine',
  }
}

function texts({ host, port, user, database }: Omit<DatabaseConnection, 'ssl'>) {
  return { DB_HOST: host, DB_PORT: String(port), DB_USER: user, DB_NAME: database }
}

function chooseTls(
  url: PostgresUrl | undefined,
  resolved: Resolved,
  { cwd, notes }: { cwd: string; notes: Notes },
): false | DatabaseTls {
  const { mistakes, warnings } = notes
  const mode = chooseSslMode(url?.sslMode, resolved, mistakes)
  const file = url?.sslRootCert ?? resolved.values.DB_SSLROOTCERT
  if (url?.hasOtherParameters) warnings.push(OTHER_PARAMETERS)
  if (mode === 'disable') {
    if (file !== undefined) warnings.push(UNUSED_CERTIFICATE)
    return false
  }
  if (mode === 'prefer') warnings.push(PREFER)
  if (mode === 'verify-ca' && file === undefined) mistakes.push(CERTIFICATE_NEEDED)
  return tlsOf(
    mode,
    file === undefined ? undefined : readCertificates('DB_SSLROOTCERT', file, { cwd, mistakes }),
  )
}

/** Of the URL's mode and `DB_SSLMODE`, again, the one from the stronger source counts. */
function chooseSslMode(
  inUrl: SslMode | undefined,
  { values, given }: Resolved,
  mistakes: string[],
): SslMode {
  const [url, setting] = [given.get('DATABASE_URL'), given.get('DB_SSLMODE')]
  if (inUrl === undefined || !url) return values.DB_SSLMODE
  if (!setting || setting.rank > url.rank) return inUrl
  if (setting.rank === url.rank && inUrl !== values.DB_SSLMODE) {
    mistakes.push(`${describe(setting)} and sslmode in DATABASE_URL differ: keep one of them`)
  }
  return values.DB_SSLMODE
}

/** As libpq has it: `require` together with an authority checks like `verify-ca`. */
function tlsOf(mode: Exclude<SslMode, 'disable'>, ca: string | undefined): DatabaseTls {
  if (mode === 'verify-full')
    return { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) }
  if (ca === undefined) return { rejectUnauthorized: false }
  return { rejectUnauthorized: true, ca, checkServerIdentity: () => undefined }
}
