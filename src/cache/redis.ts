// Redis, or Valkey, as the cache that processes share. The client's own reconnecting is off: what another
// connection finds has to be caught up with first, and that is not the client's to know.

import { randomBytes } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import { AppError } from '../errors.ts'
import type { CacheConnection, LogPosition, SharedCache, SharedEntry } from './cache.ts'
import { scripts } from './redis-scripts.ts'

export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly user?: string
  readonly password?: string
  readonly database: number
  /** `ca` in PEM; without it the authorities of Node.js are trusted. */
  readonly tls: false | { readonly ca?: string }
}

export interface RedisCacheOptions {
  server: RedisServer
  /** All keys and the channel begin with it: what differs in it shares nothing. */
  prefix: string
}

const CONNECT_TIMEOUT_MS = 3_000
/** Statements end after 30 s: longer than any load takes. */
const TOKEN_MS = 40_000
/** Less than the floors of versions live in a process, so that none is outlived by what it forbids. */
const KEEP_MS = 4 * 60_000
/** What was filled together does not end together. */
const KEEP_SPREAD_MS = 50_000
const SCAN_COUNT = 500
/** As the scripts know it. */
const VALUE = /^([vp])(\d{1,15}):/
const PLACE = /^([0-9a-f]+)-(\d{1,15})$/
const VALUE_HEAD = 'v'.length + 15 + ':'.length

export function createRedisCache({ server, prefix }: RedisCacheOptions): SharedCache {
  const name = `Redis at ${server.host.includes(':') ? `[${server.host}]` : server.host}:${server.port}`
  return {
    name,
    connect: async (heard) => {
      await using starting = new AsyncDisposableStack()
      const ended = Promise.withResolvers<void>()
      // A server that is silent lets in and greets nobody, and the client would wait for it for ever.
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new Error('no answer')), CONNECT_TIMEOUT_MS)
      late.catch(() => {})
      using _timer = { [Symbol.dispose]: () => clearTimeout(timer) }
      const inTime = async (work: Promise<unknown>) => {
        try {
          await Promise.race([work, late])
        } catch (error) {
          throw explain(error, name)
        }
      }
      const open = async () => {
        const client = newClient(server)
        // Without reconnecting, an error is the end.
        client.on('error', ended.resolve)
        client.on('end', ended.resolve)
        starting.defer(() => {
          if (client.isOpen) client.destroy()
          ended.resolve()
        })
        await inTime(client.connect())
        return client
      }
      const commands = await open()
      const listener = await open()
      void ended.promise.then(() => {
        // One without the other would be half deaf, or half mute.
        for (const client of [commands, listener]) if (client.isOpen) client.destroy()
      })
      const channel = `${prefix}changes`
      await inTime(
        listener.subscribe(channel, (message) => {
          const at = message.lastIndexOf(':')
          const version = Number(message.slice(at + 1))
          // Anybody may publish there.
          if (at > 0 && Number.isSafeInteger(version)) heard(message.slice(0, at), version)
        }),
      )
      const opened = starting.move()
      return {
        ...createCommands(commands, { prefix, channel }),
        ping: async () => {
          await Promise.all([answered(commands.ping()), answered(listener.ping())])
        },
        ended: ended.promise,
        [Symbol.asyncDispose]: () => opened.disposeAsync(),
      }
    },
  }
}

type Client = ReturnType<typeof newClient>

function newClient({ host, port, user, password, database, tls }: RedisServer) {
  const reach = {
    host,
    port,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectStrategy: false,
  } as const
  return createClient({
    socket: tls ? { ...reach, ...tls, tls: true } : reach,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    database,
    disableOfflineQueue: true,
    scripts,
    commandOptions: {
      typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer },
      // The client's timer for each command lives on after the answer; it took a seventh of a look.
      timeout: 0,
    },
  })
}

function createCommands(
  client: Client,
  { prefix, channel }: { prefix: string; channel: string },
): Omit<CacheConnection, 'ping' | 'ended' | typeof Symbol.asyncDispose> {
  const keyOf = (key: string) => `${prefix}entry:${key}`
  const placeKey = `${prefix}place`
  const read = (key: string) => answered(client.get(key).catch(nullOfAnotherType))
  const dropping = async (key: string, version: number, ...message: string[]) => {
    await answered(client.drop(keyOf(key), version, ...message))
  }
  return {
    look: async (key, floor) => {
      // Most looks find something: a GET costs Redis a third of the script, which leaves the token.
      const found = unpack(bytesOf((await read(keyOf(key))) ?? ''))
      if (found && found.version >= floor) return { entry: found }
      const token = randomBytes(12).toString('hex')
      const askedAt = Date.now()
      const reply = await answered(client.look(keyOf(key), token, TOKEN_MS, floor))
      const [held, leftMs] = reply as [unknown, unknown]
      const bytes = bytesOf(held)
      const entry = unpack(bytes, askedAt + Number(leftMs))
      return entry ? { entry } : { token: bytes.toString() }
    },
    fill: async (key, token, entry) => {
      const longestMs = KEEP_MS + Math.floor(Math.random() * KEEP_SPREAD_MS)
      const keepMs = Math.min(longestMs, (entry.goodUntil ?? Number.POSITIVE_INFINITY) - Date.now())
      if (keepMs < 1) return false
      return Number(await answered(client.fill(keyOf(key), token, pack(entry), keepMs))) === 1
    },
    drop: (key, version) => dropping(key, version),
    announce: (key, version) => dropping(key, version, channel, `${key}:${version}`),
    flush: async () => {
      const MATCH = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}entry:*`
      let cursor = '0'
      do {
        const page = await answered(client.scan(cursor, { MATCH, COUNT: SCAN_COUNT }))
        if (page.keys.length > 0) await answered(client.unlink(page.keys))
        cursor = String(page.cursor)
      } while (cursor !== '0')
    },
    place: async () => {
      const [, epoch, id] = PLACE.exec(String((await read(placeKey)) ?? '')) ?? []
      return epoch === undefined ? undefined : { epoch, id: Number(id) }
    },
    advance: async (from, to) => {
      const before = from === undefined ? '' : textOf(from)
      return Number(await answered(client.advance(placeKey, before, textOf(to)))) === 1
    },
  }
}

async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply
  } catch (error) {
    throw new AppError('unavailable', 'The shared cache does not answer.', { cause: error })
  }
}

/** A list, or whatever others put there. */
function nullOfAnotherType(error: Error): null {
  if (error.message.startsWith('WRONGTYPE')) return null
  throw error
}

/** By what Redis or TLS says: what stays the same until somebody corrects something. */
const advice: readonly [RegExp, string][] = [
  [/^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH)/, 'check CACHE_URL and REDIS_PASSWORD'],
  [/^DENIED/, 'it lets in other machines with a password only: set one there, and REDIS_PASSWORD'],
  [/DB index/, 'check the number of the database at the end of CACHE_URL'],
  [
    /^(EPROTO|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/,
    'check REDIS_CA_FILE and the certificate of the server, or the port: without TLS it is redis',
  ],
]

/** `unavailable` when another try may succeed, else an Error that says what to correct. */
function explain(error: unknown, name: string): Error {
  const { message, code = message } = error as NodeJS.ErrnoException
  const [, hint] = advice.find(([pattern]) => pattern.test(message) || pattern.test(code)) ?? []
  return hint === undefined
    ? new AppError('unavailable', 'The shared cache cannot be reached.', { cause: error })
    : new Error(`${name} refused: ${message}; ${hint}`, { cause: error })
}

function textOf({ epoch, id }: LogPosition): string {
  return `${epoch}-${id}`
}

function bytesOf(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(String(value))
}

function pack({ version, bytes, goodUntil }: SharedEntry): Buffer {
  return Buffer.concat([Buffer.from(`${goodUntil === undefined ? 'v' : 'p'}${version}:`), bytes])
}

/** Undefined for a token, and for what ends by itself while it is not known when. */
function unpack(held: Buffer, goodUntil?: number): SharedEntry | undefined {
  const [head = '', kind, version] = VALUE.exec(held.toString('latin1', 0, VALUE_HEAD)) ?? []
  const ends = kind === 'p' ? { goodUntil } : {}
  if (version === undefined || (kind === 'p' && goodUntil === undefined)) return undefined
  return { version: Number(version), bytes: held.subarray(head.length), ...ends }
}
