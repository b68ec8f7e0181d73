// RABBITMQ_URL, taken apart by the strict rules of DATABASE_URL: what a password with an unencoded
// character would turn into is refused, not guessed at.

import { decodePart, withoutBrackets } from './url-parts.ts'
import { host as hostType, isOneLine, type ValueType } from './value-types.ts'

/** What a URL says, with the defaults of AMQP for what it leaves out. */
export interface AmqpUrl {
  readonly isTls: boolean
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly vhost: string
  /** Parameters, of which none has an effect. */
  readonly hasParameters: boolean
}

export const AMQP_PORT = 5672
const AMQPS_PORT = 5671
/** Of a broker that nobody has configured, and that lets them in from its own machine only. */
export const AMQP_USER = 'guest'

export const amqpUrl: ValueType<AmqpUrl> = {
  name: 'URL',
  expects:
    'amqp://user:password@host:port/vhost, or amqps:// with TLS, with special characters percent-encoded',
  parse: (text) => {
    const url = isOneLine(text) && !text.includes('#') ? URL.parse(text) : null
    return url && /^amqps?:$/.test(url.protocol) ? takeApart(url) : undefined
  },
}

function takeApart(url: URL): AmqpUrl | undefined {
  const isTls = url.protocol === 'amqps:'
  const host = withoutBrackets(url.hostname)
  const [user, password] = [decodePart(url.username), decodePart(url.password)]
  const vhost = decodePart(url.pathname.slice(1))
  const isWrong =
    hostType.parse(host) === undefined ||
    url.port === '0' ||
    /@|.\//.test(url.pathname) ||
    url.search.includes('@')
  if (isWrong || user === undefined || password === undefined || vhost === undefined)
    return undefined
  const isAnonymous = user === '' && password === ''
  return {
    isTls,
    host,
    port: url.port ? Number(url.port) : isTls ? AMQPS_PORT : AMQP_PORT,
    user: isAnonymous ? AMQP_USER : user,
    password: isAnonymous ? AMQP_USER : password,
    vhost: vhost || '/',
    hasParameters: url.search !== '',
  }
}
