// Where outbound requests may go: public unicast addresses, plus what the operator's allow-list admits.
// Pure. Whatever is not known to be public is refused, so a range invented tomorrow starts out refused.

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

export interface AddressPolicyOptions {
  /** CIDRs that are admitted whatever else is said of them: `10.0.0.0/8`, `fd00::/8`. */
  allow: readonly string[]
  /** Ports that may be connected to, both ends inclusive. */
  ports: readonly PortRange[]
}

export interface PortRange {
  from: number
  to: number
}

export const urlRules = ['url', 'scheme', 'credentials', 'port', 'private_address'] as const
export type UrlRule = (typeof urlRules)[number]

/** Why a URL is refused: the broken rule, and what would be right (`must use http or https`). */
export interface UrlRefusal {
  rule: UrlRule
  detail: string
}

export interface AddressPolicy {
  /**
   * Why this address may not be connected to, as a short word for logs; undefined when it may.
   * Takes addresses as resolvers and sockets write them; anything else is refused.
   */
  refusalOf(address: string): string | undefined
  /** What can be said against a URL without the network; undefined when nothing can. */
  checkUrl(text: string): UrlRefusal | undefined
}

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** As browsers and proxies limit it in practice; the catalogue stores no longer one. */
const MAX_URL_LENGTH = 2_048

/** Parsers drop or keep these each in their own way: a URL that needs them is not worth the difference. */
const UNSPEAKABLE = /[\p{Cc}\p{Cs}\s]/u

/** The only part of IPv6 that is handed out as global unicast. Leaves out `::a.b.c.d` among others. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')

/** Azure's host services answer here: a public address by its number, the inside by its effect. */
const AZURE_HOST = '168.63.129.16'

/** Throws a TypeError for an entry of the allow-list that is not a CIDR. */
export function createAddressPolicy({ allow, ports }: AddressPolicyOptions): AddressPolicy {
  const allowed = allow.map(parseRange)

  function refusalOf(text: string): string | undefined {
    // ipaddr.js reads `127.1` and octal parts too; no resolver writes them. isIP lets zone ids through.
    if (isIP(text) === 0 || text.includes('%')) return 'not_an_address'
    // Unwraps ::ffff:a.b.c.d: the kernel connects to the IPv4 address inside.
    const address = ipaddr.process(isIP(text) === 6 ? inHex(text) : text)
    if (allowed.some((range) => matches(address, range))) return undefined
    return specialUseOf(address)
  }

  function checkUrl(text: string): UrlRefusal | undefined {
    if (UNSPEAKABLE.test(text)) {
      return { rule: 'url', detail: 'must not contain whitespace or control characters' }
    }
    const url = URL.parse(text)
    if (url === null) return { rule: 'url', detail: 'must be an absolute http or https URL' }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      return { rule: 'scheme', detail: 'must use http or https' }
    }
    if (text.length > MAX_URL_LENGTH) {
      return { rule: 'url', detail: `must be at most ${MAX_URL_LENGTH} characters long` }
    }
    if (url.username !== '' || url.password !== '') {
      return { rule: 'credentials', detail: 'must not contain a user name or password' }
    }
    if (!ports.some(({ from, to }) => from <= portOf(url) && portOf(url) <= to)) {
      return { rule: 'port', detail: `must not use port ${portOf(url)}` }
    }
    const literals = literalAddresses(url)
    if (literals.length === 0 || literals.some((it) => refusalOf(it) === undefined))
      return undefined
    return { rule: 'private_address', detail: 'must not point to a private or reserved address' }
  }

  return { refusalOf, checkUrl }
}

/** The host of a URL as resolvers and sockets want it: no brackets, no dot at the end. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
}

/** True for the names that mean this machine on every machine (RFC 6761). */
export function isLocalhost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost')
}

/** The addresses that a URL itself names, in whatever spelling: the URL parser has normalised it. */
function literalAddresses(url: URL): string[] {
  const host = hostOf(url)
  if (isLocalhost(host)) return ['127.0.0.1', '::1']
  return isIP(host) === 0 ? [] : [host]
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

function specialUseOf(address: Address): string | undefined {
  const range = address.range()
  if (range !== 'unicast') return range
  if (!isIPv6(address)) return address.toString() === AZURE_HOST ? 'azure_host' : undefined
  if (!address.match(GLOBAL_UNICAST)) return 'not_global'
  return isIsatap(address) ? 'isatap' : undefined
}

/** RFC 5214: an interface identifier `[ug bits]00:5efe` tunnels to the IPv4 address in the last 32 bits. */
function isIsatap({ parts }: ipaddr.IPv6): boolean {
  return ((parts[4] ?? 0) & ~0x0300) === 0 && parts[5] === 0x5efe
}

/** Without a dotted part: ipaddr.js takes `::a.b.c.d`, which is another address, for `::ffff:a.b.c.d`. */
function inHex(address: string): string {
  return hostOf(new URL(`http://[${address}]/`))
}

function parseRange(cidr: string): [Address, number] {
  try {
    return ipaddr.parseCIDR(cidr)
  } catch (cause) {
    throw new TypeError(`${JSON.stringify(cidr)} is not an address range like 10.0.0.0/8`, {
      cause,
    })
  }
}

function matches(address: Address, [base, bits]: [Address, number]): boolean {
  return address.kind() === base.kind() && address.match(base, bits)
}

function isIPv6(address: Address): address is ipaddr.IPv6 {
  return address.kind() === 'ipv6'
}
