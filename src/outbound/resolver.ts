// Names to addresses, off the thread pool: getaddrinfo cannot be cancelled, and a handful of names whose
// servers never answer would occupy the threads that every file of the process is read and written with.

import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { isLocalhost } from './address-policy.ts'

/**
 * All addresses of a name, none of them judged. Rejects with an Error whose `code` is `ENOTFOUND` when
 * the name has no address at all, and any other code when that could not be found out.
 */
export type Lookup = (host: string, options: { signal: AbortSignal }) => Promise<readonly string[]>

export interface ResolverOptions {
  /** Name servers (`address:port`) instead of the system's. */
  servers?: readonly string[]
  /** Names that are known without asking anybody, in the format of hosts(5). */
  hostsFile?: string
}

/** First try of a name server; the second has twice as long. Both fit the default connect timeout. */
const QUERY_TIMEOUT_MS = 1_500
const QUERY_TRIES = 2

/** What the slower of A and AAAA gets once the other has answered: some servers drop AAAA silently. */
const OTHER_FAMILY_MS = 250

/** What a name that has no address is answered with; EBADNAME is a name that cannot be asked for. */
const NO_ADDRESS = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME'])

/** Asks the hosts file, then DNS. Search domains do not apply: a URL names its host in full. */
export function createResolver({
  servers,
  hostsFile = '/etc/hosts',
}: ResolverOptions = {}): Lookup {
  return async (host, { signal }) => {
    if (isLocalhost(host)) return ['127.0.0.1', '::1']
    const known = addressesIn(await readFile(hostsFile, 'utf8').catch(() => ''), host)
    if (known.length > 0) return known
    signal.throwIfAborted()
    // A resolver of its own for each name: cancelling it cancels nobody else's, and it reads
    // resolv.conf as it is now.
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES })
    if (servers) resolver.setServers(servers)
    const cancel = () => resolver.cancel()
    signal.addEventListener('abort', cancel)
    try {
      return await bothFamilies(resolver, host)
    } finally {
      signal.removeEventListener('abort', cancel)
      cancel()
    }
  }
}

/** The addresses that a hosts file has for a name. Pure. */
export function addressesIn(hosts: string, host: string): string[] {
  return hosts.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    return names.some((name) => name.toLowerCase() === host) ? [address] : []
  })
}

async function bothFamilies(resolver: Resolver, host: string): Promise<string[]> {
  const queries = [resolver.resolve6(host), resolver.resolve4(host)]
  const late = Promise.any(queries).then(() => delay(OTHER_FAMILY_MS, [], { ref: false }))
  const answers = await Promise.allSettled(queries.map((query) => Promise.race([query, late])))
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  if (addresses.length > 0) return addresses
  throw worstOf(answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : [])))
}

/** Only when both families say that there is nothing, there is nothing. */
function worstOf(errors: readonly NodeJS.ErrnoException[]): Error {
  const unsure = errors.find(({ code }) => !NO_ADDRESS.has(code ?? ''))
  return (
    unsure ?? Object.assign(new Error('no address', { cause: errors[0] }), { code: 'ENOTFOUND' })
  )
}
